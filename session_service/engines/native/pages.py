"""Plain HTTP between the native engine and the one handler that answers it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from typing import Final

from session_service.engines.native.surface import Call, Engine, Pairs
from session_service.rpc.http import refusals
from session_service.rpc.http.values import Headers, HttpRequest, HttpResponse, HttpStream

_FAULTS: Final[Mapping[str, HttpResponse]] = {
    "late": refusals.LATE_REQUEST,
    "malformed_request": refusals.NOT_HTTP,
}


class PageCall:
    """A request as batches look at it, each part made when it is looked at."""

    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call = call

    @property
    def path(self) -> str:
        """See ``HttpRequest``."""
        return self._call.path

    @property
    def query(self) -> str:
        """See ``HttpRequest``."""
        return self._call.query

    @property
    def body(self) -> bytes:
        """See ``HttpRequest``."""
        return self._call.message

    def values(self, name: str) -> list[str]:
        """See ``HttpRequest``."""
        return [value.decode("latin-1") for value in self._call.values(name)]


def request_of(call: Call) -> HttpRequest:
    """A request as a value."""
    return HttpRequest(
        call.verb,
        call.path,
        call.query,
        [(name.decode("latin-1"), value.decode("latin-1")) for name, value in call.headers()],
        call.message,
        call.peer,
        call.secure,
        call.certificate(),
    )


def refused(kind: str, *, body_bytes: int, metadata_bytes: int) -> HttpResponse:
    """The answer to a request that the engine found at fault.

    Args:
        kind: see ``Fault`` of the engine's surface.
        body_bytes: that a body may have at its path.
        metadata_bytes: that header fields may have.
    """
    if kind == "message_too_large":
        return refusals.too_large(body_bytes)
    if kind == "metadata_too_large":
        return refusals.header_too_large(metadata_bytes)
    return _FAULTS.get(kind, refusals.NOT_HTTP)


def respond(engine: Engine, call: int, page: HttpResponse) -> None:
    """Answer a call of plain HTTP whole."""
    engine.respond(call, page.status, _pairs(page.headers), page.body)


class StreamedPage:
    """A response that is sent piece by piece, the next when HTTP's flow control has taken the one before.

    Args:
        engine: what carries it.
        call: its id.
    """

    def __init__(self, engine: Engine, call: int) -> None:
        self._engine = engine
        self._call = call
        self._room = asyncio.Event()

    def writable(self) -> None:
        """Send the next piece."""
        self._room.set()

    async def send(self, page: HttpStream) -> None:
        """Send a response to its end; ``page.pieces`` is closed in any case."""
        self._engine.start(self._call, _pairs(page.headers), page.status)
        async with aclosing(page.pieces) as pieces:
            async for piece in pieces:
                self._room.clear()
                self._engine.write(self._call, piece)
                await self._room.wait()
        self._engine.close(self._call)


def _pairs(headers: Headers) -> Pairs:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
