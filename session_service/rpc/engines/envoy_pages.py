"""Plain HTTP on the Envoy engine: a few pages beside gRPC, and what all other requests are told."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Final, cast

import grpc

from session_service.rpc.engines.asgi import Scope, Send
from session_service.rpc.http.status import http_failure
from session_service.rpc.http.values import HttpHandler, HttpRequest, HttpResponse

_NO_SUCH_PAGE: Final = http_failure(404, grpc.StatusCode.NOT_FOUND, "no such path")
_NOT_IN_GRPC: Final = http_failure(
    415,
    grpc.StatusCode.INVALID_ARGUMENT,
    "this path takes gRPC, by POST with a content-type of application/grpc; JSON has paths of its own",
)
_FAILED: Final = http_failure(500, grpc.StatusCode.INTERNAL, "internal error")
_TOO_MANY: Final = http_failure(
    503, grpc.StatusCode.UNAVAILABLE, "the service is busy; try again shortly", ("retry-after", "1")
)

log = logging.getLogger(__name__)


class EnvoyPages:
    """Answers what is no gRPC.

    Args:
        limit: requests in hand at once; more are told to come again.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pages: dict[str, HttpHandler] = {}
        self.under_way = 0
        """Requests in hand."""

    def add(self, path: str, handler: HttpHandler) -> None:
        """Answer at this path."""
        self._pages[path] = handler

    def close(self) -> None:
        """Answer no more: whoever asks is told to come again."""
        self._limit = 0

    def __contains__(self, path: str) -> bool:
        """Whether there is a page at this path."""
        return path in self._pages

    async def answer(self, scope: Scope, send: Send, is_method: Callable[[str], bool]) -> None:
        """Answer one request.

        Args:
            scope: ASGI's.
            send: ASGI's.
            is_method: tells whether a path is that of a gRPC method.
        """
        self.under_way += 1
        try:
            response = await self._response(scope, is_method)
        except Exception:
            log.exception("page failed", extra={"path": scope["path"]})
            response = _FAILED
        finally:
            self.under_way -= 1
        with contextlib.suppress(OSError):  # who asked has left
            await send_page(send, response, only_head=scope["method"] == "HEAD")

    async def _response(self, scope: Scope, is_method: Callable[[str], bool]) -> HttpResponse:
        page = self._pages.get(scope["path"])
        if page is None:
            return _NOT_IN_GRPC if is_method(scope["path"]) else _NO_SUCH_PAGE
        if self.under_way > self._limit:
            return _TOO_MANY
        # This engine, which goes, carries no streams.
        return cast("HttpResponse", await page(_request(scope)))


def _request(scope: Scope) -> HttpRequest:
    return HttpRequest(
        scope["method"],
        scope["raw_path"].decode("latin-1"),
        scope["query_string"].decode("latin-1"),
        [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
    )


async def send_page(send: Send, page: HttpResponse, *, only_head: bool = False) -> None:
    """Send a response of plain HTTP, with its length.

    Args:
        send: ASGI's.
        page: the response.
        only_head: keep the body back, as HEAD asks; in HTTP/2 a body would be an error.
    """
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in page.headers]
    headers.append((b"content-length", b"%d" % len(page.body)))
    await send({"type": "http.response.start", "status": page.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if only_head else page.body})
