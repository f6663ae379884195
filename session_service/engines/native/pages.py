"""Plain HTTP on the native engine: pages, and what all other requests are answered."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

import grpc

from session_service.engines.native.surface import Call, Engine, Fault
from session_service.rpc.http import HttpHandler, HttpRequest, HttpResponse
from session_service.rpc.http_status import http_failure

_NO_SUCH_PAGE: Final = http_failure(404, grpc.StatusCode.NOT_FOUND, "no such path")
_NOT_IN_GRPC: Final = http_failure(
    415,
    grpc.StatusCode.INVALID_ARGUMENT,
    "this path takes gRPC, by POST with a content-type of application/grpc; JSON has paths of its own",
)
_FAILED: Final = http_failure(500, grpc.StatusCode.INTERNAL, "internal error")
TOO_MANY: Final = http_failure(
    503, grpc.StatusCode.UNAVAILABLE, "the service is busy; try again shortly", ("retry-after", "1")
)
_FAULTS: Final[Mapping[str, tuple[int, grpc.StatusCode]]] = {
    "malformed_request": (400, grpc.StatusCode.INVALID_ARGUMENT),
    "malformed_metadata": (400, grpc.StatusCode.INVALID_ARGUMENT),
    "message_too_large": (413, grpc.StatusCode.RESOURCE_EXHAUSTED),
    "metadata_too_large": (431, grpc.StatusCode.RESOURCE_EXHAUSTED),
    "unknown_encoding": (415, grpc.StatusCode.UNIMPLEMENTED),
    "unknown_method": (404, grpc.StatusCode.NOT_FOUND),
    "late": (408, grpc.StatusCode.DEADLINE_EXCEEDED),
}

log = logging.getLogger(__name__)


class NativePages:
    """Answers what is no gRPC.

    Args:
        limit: requests in hand at once; more are answered that they may come again.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pages: dict[str, HttpHandler] = {}
        self._methods: frozenset[str] = frozenset()
        self.under_way = 0
        """Requests in hand."""

    def add(self, path: str, handler: HttpHandler) -> None:
        """Answer at this path."""
        self._pages[path] = handler

    @property
    def paths(self) -> list[str]:
        """Where pages are."""
        return list(self._pages)

    def close(self) -> None:
        """Answer no more: whoever asks is answered that they may come again."""
        self._limit = 0

    async def answer(self, call: Call, *, is_method: bool) -> HttpResponse:
        """The response to one request.

        Args:
            call: the request.
            is_method: whether its path is that of a gRPC method.
        """
        self.under_way += 1
        try:
            return await self._response(call, is_method=is_method)
        except Exception:
            log.exception("page failed", extra={"path": call.path})
            return _FAILED
        finally:
            self.under_way -= 1

    async def _response(self, call: Call, *, is_method: bool) -> HttpResponse:
        if call.fault is not None:
            return _refused(call.fault)
        page = self._pages.get(call.path)
        if page is None:
            return _NOT_IN_GRPC if is_method else _NO_SUCH_PAGE
        return await page(_request(call)) if self.under_way <= self._limit else TOO_MANY


def respond(engine: Engine, call: int, page: HttpResponse) -> None:
    """Answer a call of plain HTTP whole."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in page.headers]
    engine.respond(call, page.status, headers, page.body)


def _refused(fault: Fault) -> HttpResponse:
    kind, text = fault
    status, code = _FAULTS[kind]
    return http_failure(status, code, text)


def _request(call: Call) -> HttpRequest:
    return HttpRequest(
        call.verb,
        call.path,
        call.query,
        [(name.decode("latin-1"), value.decode("latin-1")) for name, value in call.headers()],
    )
