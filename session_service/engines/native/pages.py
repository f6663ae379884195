"""Plain HTTP on the native engine, between what Rust hands over and the values of ``rpc.http``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any, Final

import grpc

from session_service.engines.native.surface import Call, Engine, Fault, Pairs, Reply
from session_service.rpc.http import refusals
from session_service.rpc.http.app import HttpApp
from session_service.rpc.http.status import http_failure
from session_service.rpc.http.values import Headers, HttpReply, HttpRequest, HttpResponse, HttpStream

_FAULTS: Final[Mapping[str, Callable[[str], HttpResponse]]] = {
    "malformed_request": lambda text: http_failure(400, grpc.StatusCode.INVALID_ARGUMENT, text),
    "malformed_metadata": lambda text: http_failure(400, grpc.StatusCode.INVALID_ARGUMENT, text),
    "message_too_large": lambda text: http_failure(413, grpc.StatusCode.RESOURCE_EXHAUSTED, text),
    "metadata_too_large": lambda text: http_failure(431, grpc.StatusCode.RESOURCE_EXHAUSTED, text),
    "unknown_encoding": lambda text: http_failure(415, grpc.StatusCode.UNIMPLEMENTED, text),
    "unknown_method": lambda _: refusals.NO_SUCH_PATH,
    "late": lambda _: refusals.LATE_REQUEST,
}


class NativePage:
    """A request of plain HTTP that is answered by a task.

    Args:
        engine: what carries it.
        call: the request.
        app: answers.
    """

    def __init__(self, engine: Engine, call: Call, app: HttpApp) -> None:
        self._engine = engine
        self._call = call
        self._app = app
        self._room: asyncio.Future[None] | None = None
        self._task: asyncio.Task[Any] | None = None
        self._gone = self._begun = False

    def serve_by(self, task: asyncio.Task[Any]) -> None:
        """Note the task to be cancelled when nobody waits for the answer."""
        self._task = task

    async def serve(self) -> None:
        """Answer the request."""
        try:
            await self._answer()
        except asyncio.CancelledError:
            if not self._gone and not self._begun:
                respond(self._engine, self._call.id, refusals.BUSY)

    async def _answer(self) -> None:
        call = self._call
        request = request_of(call)
        if call.fault is not None:
            respond(self._engine, call.id, self._app.finished(request, refused(call.fault)))
            return
        reply = await self._app(request)
        if isinstance(reply, HttpStream):
            await self._stream(reply)
        else:
            respond(self._engine, call.id, reply)

    def writable(self) -> None:
        """Take note that what was written last has left."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def leave(self, *, overdue: bool) -> None:  # noqa: ARG002 - HTTP makes no difference
        """Cancel what makes the answer, since nobody waits for it."""
        self._gone = True
        self.cut_off()

    def cut_off(self) -> None:
        """Cancel what makes the answer."""
        if self._task is not None:
            self._task.cancel()

    async def _stream(self, reply: HttpStream) -> None:
        number = self._call.id
        self._begun = True
        self._engine.start(number, encoded(reply.headers), reply.status)
        try:
            pieces: Any = reply.pieces
            async with aclosing(pieces):
                async for piece in pieces:
                    if self._room is not None:
                        await self._room
                    self._room = asyncio.get_running_loop().create_future()
                    self._engine.write(number, piece)
        except asyncio.CancelledError:
            self._engine.abort(number)
            raise
        self._engine.close(number)


def respond(engine: Engine, call: int, reply: HttpReply) -> None:
    """Answer a request whole."""
    body = reply.body if isinstance(reply, HttpResponse) else b""
    engine.respond(call, reply.status, encoded(reply.headers), body)


def prepared(engine: Engine, reply: HttpResponse) -> Reply:
    """A response that can be sent to many."""
    return engine.reply(reply.status, encoded(reply.headers), reply.body)


def encoded(headers: Headers) -> Pairs:
    """Header fields as they are sent."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def refused(fault: Fault) -> HttpResponse:
    """The answer to a request that the engine found at fault."""
    kind, text = fault
    return _FAULTS[kind](text)


def request_of(call: Call) -> HttpRequest:
    """The request as a value."""
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in call.headers()]
    certificate = call.certificate() if call.secure else None
    return HttpRequest(
        call.verb, call.path, call.query, headers, call.message, call.peer, call.secure, certificate
    )
