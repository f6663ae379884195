"""Which pages of a browser may call, and what they may read (https://fetch.spec.whatwg.org/#http-cors-protocol).

No cookie and no wildcard: a page of a configured origin sends its token itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from session_service.rpc.http.values import HttpRequest, HttpResponse

_METHODS: Final = "GET,HEAD,POST,DELETE"
_MAX_AGE_SECONDS: Final = "7200"
_HEADERS: Final = (
    "authorization",
    "content-type",
    "x-service-key",
    "x-grpc-web",
    "x-user-agent",
    "grpc-timeout",
    "grpc-accept-encoding",
    # Of tracing: https://www.w3.org/TR/trace-context, https://www.w3.org/TR/baggage.
    "traceparent",
    "tracestate",
    "baggage",
    "x-request-id",
)
_EXPOSED: Final = "grpc-status,grpc-message,grpc-status-details-bin,www-authenticate,retry-after"


class Cors:
    """The rules of one service.

    Args:
        origins: whose pages may call, as browsers write them; none = there is no CORS at all.
        headers: header fields that they may send besides those that the service and tracing need.
    """

    def __init__(self, origins: Iterable[str], headers: Iterable[str]) -> None:
        self._origins = frozenset(origins)
        self._headers = ",".join(dict.fromkeys((*_HEADERS, *headers)))

    def response_headers(self, origin: str | None) -> list[tuple[str, str]]:
        """What to add to an answer, gRPC-Web's as any other.

        Args:
            origin: the request's header ``Origin``; ``None`` = it has none.
        """
        if not self._origins:
            return []
        if origin not in self._origins:
            return [("vary", "origin")]
        return [
            ("access-control-allow-origin", origin),
            ("access-control-expose-headers", _EXPOSED),
            ("vary", "origin"),
        ]

    def preflight(self, request: HttpRequest) -> HttpResponse | None:
        """The answer to a preflight of a page that may call; ``None`` if the request is none.

        Without what ``response_headers`` adds to this answer as to any other.
        """
        origin = origin_of(request.headers)
        if request.method != "OPTIONS" or origin is None or origin not in self._origins:
            return None
        if not request.values("access-control-request-method"):
            return None
        headers = (
            ("access-control-allow-methods", _METHODS),
            ("access-control-allow-headers", self._headers),
            ("access-control-max-age", _MAX_AGE_SECONDS),
        )
        return HttpResponse(200, headers, b"")


def origin_of(headers: Sequence[tuple[str, str]]) -> str | None:
    """The header ``Origin``, if there is one and no more."""
    found = [value for name, value in headers if name == "origin"]
    return found[0] if len(found) == 1 else None
