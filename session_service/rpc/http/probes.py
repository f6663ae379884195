"""What balancers and tools ask: whether the process lives, whether it can serve, what it serves."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from typing import Final

from session_service.rpc.http.values import HttpResponse

LIVE: Final = "/healthz"
READY: Final = "/readyz"
OPENAPI: Final = "/openapi.json"

_JSON: Final = (("content-type", "application/json"),)
_SERVING: Final = HttpResponse(200, _JSON, b'{"status":"SERVING"}')
_NOT_SERVING: Final = HttpResponse(503, (*_JSON, ("retry-after", "1")), b'{"status":"NOT_SERVING"}')


class Probes:
    """Answers at a few fixed paths, without a call.

    Args:
        is_serving: whether health says SERVING.
    """

    def __init__(self, is_serving: Callable[[], bool]) -> None:
        self._is_serving = is_serving
        document = resources.files("session_service.rpc.http").joinpath("openapi.json").read_bytes()
        self._document = HttpResponse(200, _JSON, document)

    @property
    def paths(self) -> tuple[str, ...]:
        """Where."""
        return LIVE, READY, OPENAPI

    @property
    def verbs(self) -> tuple[str, ...]:
        """What these paths take."""
        return "GET", "HEAD"

    def answer(self, path: str) -> HttpResponse:
        """The answer at one of the paths."""
        if path == OPENAPI:
            return self._document
        return _SERVING if path == LIVE or self._is_serving() else _NOT_SERVING
