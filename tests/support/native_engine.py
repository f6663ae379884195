"""A stand-in for ``session_service_engine.Engine``: calls come from a test and answers go to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from session_service.engines.native.surface import (
    END,
    GONE,
    HTTP,
    MESSAGES,
    STREAM,
    UNARY,
    WRITABLE,
    Event,
    Fault,
    Pairs,
)

_NEVER: Final = float("inf")


@dataclass
class FakeCall:
    """A request, and what became of it."""

    id: int
    kind: int
    method: int
    path: str
    message: bytes = b""
    query: str = ""
    verb: str = "POST"
    fault: Fault | None = None
    fields: Sequence[tuple[bytes, bytes]] = ()
    deadline: float = _NEVER
    web: bool = False
    secure: bool = False
    peer: str = "ipv4:127.0.0.1:1"
    der: bytes | None = None
    arrived: float = field(default_factory=time.monotonic)
    initial: list[tuple[bytes, bytes]] | None = None
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)
    status: tuple[int, str] | None = None
    http_status: int = 0
    asked: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """All fields."""
        return list(self.fields)

    def values(self, name: str) -> list[str]:
        """Those of one name."""
        return [value.decode("latin-1") for each, value in self.fields if each == name.encode()]

    def certificate(self) -> bytes | None:
        """The client's."""
        return self.der

    async def end(self) -> FakeCall:
        """Wait for the answer."""
        await asyncio.wait_for(self.done.wait(), 10)
        return self


@dataclass
class FakeReply:
    """A response of plain HTTP."""

    status: int
    headers: Pairs
    body: bytes


class FakeEngine:
    """Carries nothing: ``send`` puts a call where ``take`` finds it.

    Args:
        **settings: as the real one's; kept.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.paths = [path for path, _, _ in settings["methods"]]
        self._streams = {path: streams for path, streams, _ in settings["methods"]}
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK)
        self._numbers = count(1)
        self._open: dict[int, FakeCall] = {}
        self._calls: list[FakeCall] = []
        self._events: list[Event] = []
        self._signalled = False
        self.takes: list[int] = []
        self.signals = 0
        self.listening: list[int] = []
        self.stopped = self.down = False
        self.paused = False
        """Keep back ``WRITABLE``, as a client does that reads nothing."""

    # -- a test's side

    def send(self, path: str, message: bytes = b"", **more: Any) -> FakeCall:
        """Have a call of gRPC, or of HTTP where ``kind=HTTP``, arrive."""
        kind = more.pop("kind", STREAM if self._streams.get(path) else UNARY)
        method = self.paths.index(path) if path in self.paths and kind != HTTP else -1
        fault = more.pop("fault", None)
        if method < 0 and kind != HTTP:
            fault = fault or ("unknown_method", "Method not found!")
        call = FakeCall(next(self._numbers), kind, method, path, message, fault=fault, **more)
        self._open[call.id] = call
        self._calls.append(call)
        self._signal()
        return call

    def messages(self, call: FakeCall, *messages: bytes) -> None:
        """Have messages of a stream arrive, that have been asked for."""
        self._event(call, MESSAGES, list(messages))

    def end(self, call: FakeCall, fault: Fault | None = None) -> None:
        """End the request of a stream."""
        self._event(call, END, fault)

    def go(self, call: FakeCall, *, overdue: bool = False) -> None:
        """Have a call's client leave, or its deadline pass."""
        self._open.pop(call.id, None)
        self._event(call, GONE, overdue)

    def _event(self, call: FakeCall, kind: int, what: object) -> None:
        self._events.append((call.id, kind, what))
        self._signal()

    def _signal(self) -> None:
        if not self._signalled:
            self._signalled = True
            self.signals += 1
            os.write(self._writer, b"x")

    def _clear(self) -> None:
        if self._signalled:
            self._signalled = False
            os.read(self._reader, 1)

    # -- the server's side

    def use_certificate(
        self, chain: bytes, key: bytes, client_roots: bytes | None, *, required: bool
    ) -> None:
        """Keep what it was given."""
        self.certificate = (chain, key, client_roots, required)

    def listen(self, descriptor: int) -> None:
        """Keep it."""
        self.listening.append(descriptor)

    def fileno(self) -> int:
        """Readable while something waits."""
        return self._reader

    def hush(self) -> None:
        """Be unreadable until something comes after the next ``take``."""
        os.read(self._reader, 1)

    def take(self, *, hushed: bool = False) -> tuple[list[FakeCall], list[Event]]:
        """What waits."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._reader, 1)
        self._signalled = hushed
        calls, events = self._calls, self._events
        self._calls, self._events = [], []
        self.takes.append(len(calls))
        return calls, events

    def quiet(self) -> bool:
        """Whether nothing waits; if so, the next call makes the descriptor readable."""
        if self._calls or self._events:
            return False
        self._signalled = False
        return True

    def answer(self, answers: Sequence[tuple[int, bytes | FakeReply]]) -> None:
        """End unary calls, and such of plain HTTP."""
        for number, what in answers:
            if isinstance(what, bytes):
                self.finish(number, 0, "", (), (), what)
            else:
                self.respond(number, what.status, what.headers, what.body)

    def reply(self, status: int, headers: Pairs, body: bytes) -> FakeReply:
        """A response to be sent to many."""
        return FakeReply(status, headers, body)

    def finish(  # noqa: PLR0917 - as the real one
        self,
        call: int,
        code: int,
        text: str,
        trailers: Pairs = (),
        initial: Pairs = (),
        message: bytes | None = None,
    ) -> None:
        """End a call."""
        found = self._open.pop(call, None)
        if found is None:
            return
        if message is not None:
            found.pieces.append(message)
        if found.initial is None:
            found.initial = list(initial)
        found.trailers = list(trailers)
        found.status = (code, text)
        found.done.set()

    def respond(self, call: int, status: int, headers: Pairs, body: bytes) -> None:
        """Answer plain HTTP."""
        found = self._open.pop(call, None)
        if found is not None:
            found.http_status, found.initial = status, list(headers)
            found.pieces.append(body)
            found.done.set()

    def start(self, call: int, headers: Pairs, status: int = 200) -> None:
        """Begin a response."""
        if call in self._open:
            self._open[call].initial = list(headers)
            self._open[call].http_status = status

    def write(self, call: int, piece: bytes) -> None:
        """Take a message."""
        found = self._open.get(call)
        if found is not None:
            found.pieces.append(piece)
            if not self.paused:
                self._event(found, WRITABLE, None)

    def close(self, call: int) -> None:
        """End a streamed response of plain HTTP."""
        found = self._open.pop(call, None)
        if found is not None:
            found.done.set()

    def abort(self, call: int) -> None:
        """Reset a call."""
        self.close(call)

    def more(self, call: int) -> None:
        """Note that messages are wanted."""
        if call in self._open:
            self._open[call].asked += 1

    def stop_listening(self) -> None:
        """Note it."""
        self.stopped = True

    def shut_down(self) -> None:
        """End."""
        if not self.down:
            self.down = True
            os.close(self._reader)
            os.close(self._writer)

    def counts(self) -> Mapping[str, int]:
        """How many calls are open."""
        return {"calls": len(self._open)}
