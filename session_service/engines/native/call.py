"""A gRPC call that is served by a task of its own, as the engine and as servicers see it."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, NoReturn

import grpc

from session_service.engines.native.certificates import ALTERNATIVE_NAME, COMMON_NAME, names
from session_service.engines.native.surface import Call, Engine, Fault, Pairs
from session_service.rpc.metadata import Field, Pair, fields_of, metadata_of
from session_service.rpc.refusals import (
    LateError,
    MalformedError,
    MetadataTooLargeError,
    RefusedError,
    TooLargeError,
    UnknownEncodingError,
    UnknownMethodError,
)

_REFUSALS: Final[Mapping[str, Callable[[str], RefusedError]]] = {
    "malformed_request": lambda text: MalformedError("request", text),
    "malformed_metadata": lambda text: MalformedError("metadata", text),
    "message_too_large": TooLargeError,
    "metadata_too_large": MetadataTooLargeError,
    "unknown_encoding": UnknownEncodingError,
    "unknown_method": UnknownMethodError,
    "late": LateError,
}
_GOOD: Final = (None, grpc.StatusCode.OK)


def refusal(fault: Fault) -> RefusedError:
    """The error that says what is wrong with a request."""
    kind, text = fault
    return _REFUSALS[kind](text)


class NativeCall:
    """A call under way: reads and writes its messages, and is the context that servicers are given.

    It has all that ``grpc.aio.ServicerContext`` has (a test compares the two); as no subclass, whose types
    say less than what is given at run time.

    Args:
        engine: what carries it.
        call: the request.
        always: header fields that its response begins with, whatever it is.
    """

    overdue = False
    """Whether its deadline has passed."""
    gone = False
    """Whether nobody waits for its answer."""

    # Set on an instance only where they change: most calls end without.
    _task: asyncio.Task[Any] | None = None
    _cancelled = False
    _started = False
    _asked = False
    _read_to_end = False
    _fault: Fault | None = None
    _arrival: asyncio.Future[None] | None = None
    _room: asyncio.Future[None] | None = None
    _initial: Sequence[Pair] = ()
    _trailing: Sequence[Pair] = ()
    _code: grpc.StatusCode | None = None
    _details = ""
    _read: Callable[[bytes], Any] = bytes
    _write: Callable[[Any], bytes] = bytes

    def __init__(self, engine: Engine, call: Call, always: Pairs = ()) -> None:
        self._engine = engine
        self._call = call
        self._id = call.id
        self._always = always
        self._messages: deque[bytes] = deque()

    # -- what the engine does with a call

    def serve_by(self, task: asyncio.Task[Any]) -> None:
        """Note the task to be cancelled when the call is over."""
        self._task = task

    def arrived(self, messages: list[bytes]) -> None:
        """Take messages of the request that were asked for."""
        self._asked = False
        self._messages.extend(messages)
        self._wake()

    def ended(self, fault: Fault | None) -> None:
        """Take note that the request has ended, and what is wrong with that."""
        self._read_to_end, self._fault = True, fault
        self._wake()

    def writable(self) -> None:
        """Take note that what was written last has left."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def leave(self, *, overdue: bool) -> None:
        """Cancel a call whose answer nobody waits for."""
        self.gone, self.overdue = True, overdue
        self.cut_off()

    def cut_off(self) -> None:
        """Cancel the call."""
        if self._task is not None:
            self._cancelled = True
            self._task.cancel()

    async def only_message(self) -> bytes:
        """The request of a method that streams its response only.

        Raises:
            RefusedError: there is none, or more than one, or the request is not one that gRPC allows.
        """
        message = await self.next_message()
        if message is None:
            raise MalformedError("request", "the request holds no message")
        if await self.next_message() is not None:
            raise MalformedError("request", "the request holds more than one message")
        return message

    async def next_message(self) -> bytes | None:
        """The next message of the request; ``None`` at its end.

        Raises:
            RefusedError: the request ends in a way that gRPC forbids.
        """
        while not self._messages:
            if self._read_to_end:
                if self._fault is not None:
                    raise refusal(self._fault)
                return None
            if not self._asked:
                self._asked = True
                self._engine.more(self._id)
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival
        return self._messages.popleft()

    def speak(self, read: Callable[[bytes], Any], write: Callable[[Any], bytes]) -> None:
        """Set how messages are read and written, for a method that streams.

        Args:
            read: makes a request message of its bytes.
            write: the reverse, for the response.
        """
        self._read, self._write = read, write

    async def messages(self) -> AsyncIterator[Any]:
        """The request of a method that takes a stream."""
        while (message := await self.next_message()) is not None:
            yield self._read(message)

    def answer(self, message: bytes) -> None:
        """End a unary call with this message; without it where another status than OK was set."""
        if self._started:
            if self._code in _GOOD:
                self._engine.write(self._id, message)
            self._end(None)
        elif self._initial or self._trailing or self._code or self._always:
            self._end(message if self._code in _GOOD else None)
        else:
            self._engine.answer(((self._id, message),))

    def end(self, more: Sequence[Field] = ()) -> None:
        """End the call with the status that was set, OK if none was.

        Args:
            more: header fields besides, of a response that has not begun.
        """
        self._end(None, more)

    # -- what servicers do with it

    def invocation_metadata(self) -> tuple[Pair, ...]:
        """The call's metadata, in order."""
        return tuple(metadata_of(self._call.headers()))

    def peer(self) -> str:
        """The address at the other end of the connection, as gRPC spells it."""
        return self._call.peer

    def auth_context(self) -> Mapping[str, Sequence[bytes]]:
        """What is known of the connection's security: TLS or not, and the client's certificate."""
        if not self._call.secure:
            return {}
        certificate = self._call.certificate()
        return {"transport_security_type": [b"ssl"], **(names(certificate) if certificate else {})}

    def peer_identity_key(self) -> str | None:
        """Which entry of ``auth_context`` names the client, as gRPC chooses it."""
        known = self.auth_context()
        return next((key for key in (ALTERNATIVE_NAME, COMMON_NAME) if key in known), None)

    def peer_identities(self) -> Sequence[bytes] | None:
        """The client's names by its certificate; ``None`` without one."""
        key = self.peer_identity_key()
        return None if key is None else self.auth_context()[key]

    def set_code(self, code: grpc.StatusCode) -> None:
        """Set the status to end with."""
        self._code = code

    def set_details(self, details: str) -> None:
        """Set the status's text."""
        self._details = details

    def set_trailing_metadata(self, trailing_metadata: Sequence[Pair]) -> None:
        """Set the metadata to end with."""
        self._trailing = tuple(trailing_metadata)

    def code(self) -> grpc.StatusCode | None:
        """The status set so far."""
        return self._code

    def details(self) -> str:
        """The status's text set so far."""
        return self._details

    def trailing_metadata(self) -> Sequence[Pair]:
        """The metadata set so far."""
        return self._trailing

    async def send_initial_metadata(self, initial_metadata: Sequence[Pair]) -> None:
        """Send metadata ahead of the response."""
        self._initial = tuple(initial_metadata)
        self._start()

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Sequence[Pair] = ()
    ) -> NoReturn:
        """End the call with this status, by an exception that handlers let pass.

        Raises:
            grpc.aio.AbortError: always.
        """
        self._code, self._details = code, details
        if trailing_metadata:
            self._trailing = tuple(trailing_metadata)
        raise grpc.aio.AbortError

    async def abort_with_status(self, status: Any) -> NoReturn:  # noqa: ANN401 - grpc.Status has no stubs
        """As ``abort``."""
        await self.abort(status.code, status.details, status.trailing_metadata or ())

    async def read(self) -> Any:  # noqa: ANN401 - of the method's type
        """The next message of the request; ``grpc.aio.EOF`` at its end."""
        message = await self.next_message()
        return grpc.aio.EOF if message is None else self._read(message)

    async def write(self, message: Any) -> None:  # noqa: ANN401 - of the method's type
        """Send a message of the response, once the one before it has left."""
        self._start()
        if self._room is not None:
            await self._room
        self._room = asyncio.get_running_loop().create_future()
        self._engine.write(self._id, self._write(message))

    def time_remaining(self) -> float | None:
        """Seconds until the deadline; ``None`` without one."""
        if math.isinf(self._call.deadline):
            return None
        return max(0.0, self._call.deadline - time.monotonic())

    def done(self) -> bool:
        """Whether the call has ended."""
        return self._task is not None and self._task.done()

    def cancelled(self) -> bool:
        """Whether it was ended from outside: by the client's leaving, its deadline, or the server's stop."""
        return self._cancelled or self.gone

    def add_done_callback(self, callback: Callable[[NativeCall], None]) -> None:
        """Have this called with the call when it has ended."""
        if self._task is not None:
            self._task.add_done_callback(lambda _: callback(self))

    def set_compression(self, compression: grpc.Compression) -> None:
        """Ignored: responses are small, and are sent as they are."""

    def disable_next_message_compression(self) -> None:
        """Ignored, since none is compressed."""

    # --

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._engine.start(self._id, [*self._always, *fields_of(self._initial)])

    def _end(self, message: bytes | None, more: Sequence[Field] = ()) -> None:
        code = self._code or grpc.StatusCode.OK
        number: int = code.value[0]
        initial = () if self._started else (*self._always, *more, *fields_of(self._initial))
        self._engine.finish(self._id, number, self._details, fields_of(self._trailing), initial, message)

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)
