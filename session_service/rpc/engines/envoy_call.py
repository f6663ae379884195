"""One gRPC call that Envoy hands over as an ASGI request, as the servicers see it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, NoReturn

import grpc

from session_service.rpc.engines.asgi import Event, Receive, Scope, Send
from session_service.rpc.engines.certificates import common_name
from session_service.rpc.engines.envoy_pages import send_page
from session_service.rpc.engines.framing import Frames, framed, only_plain_message
from session_service.rpc.http.values import HttpResponse
from session_service.rpc.metadata import Field, Pair, encoded_message, fields_of, metadata_of
from session_service.rpc.refusals import MalformedError

NEVER: Final = float("inf")

_CONTENT_TYPE: Final = (b"content-type", b"application/grpc")
_OK: Final = (b"grpc-status", b"0")
_GOOD: Final = (None, grpc.StatusCode.OK)
_START: Final[Event] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [_CONTENT_TYPE],
    "trailers": True,
}
_OK_TRAILERS: Final[Event] = {"type": "http.response.trailers", "headers": [_OK]}
# At which beats a call is asked whether its client is still there: soon, then ever more seldom.
_ASKED_AT: Final = frozenset({1, 2, 4, 8, 16})
_THEN_EVERY: Final = 20


class EnvoyCall:
    """A call under way: reads and writes its messages, and is the context that servicers are given.

    It has all that ``grpc.aio.ServicerContext`` has (a test compares the two); as no subclass, whose types
    say less than what is given at run time.

    Args:
        scope: the ASGI scope.
        fields: its header fields, the last of each name.
        receive: ASGI's.
        send: ASGI's.
        limit: bytes that a request message may have.
        task: what serves it.
    """

    deadline = NEVER
    """When the loop's clock shows this the call is over."""

    # Set on an instance only where they change: most calls end without.
    overdue = False
    gone = False
    _cancelled = False
    _beats = 0
    _started = False
    _read_to_end = False
    _pieces: Frames | None = None
    _takes_stream = False
    _initial: Sequence[Pair] = ()
    _trailing: Sequence[Pair] = ()
    _code: grpc.StatusCode | None = None
    _details = ""
    _read: Callable[[bytes], Any] = bytes
    _write: Callable[[Any], bytes] = bytes

    def __init__(
        self,
        scope: Scope,
        fields: Mapping[bytes, bytes],
        receive: Receive,
        send: Send,
        *,
        limit: int,
        task: asyncio.Task[Any] | None,
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._fields = fields
        self._limit = limit
        self._task = task

    # -- what the engine does with a call

    def metadata_size(self) -> int:
        """Bytes of all values; those of the few names alone would be left to Envoy's own limit."""
        headers = self._scope["headers"]
        if len(headers) == len(self._fields):
            return sum(map(len, self._fields.values()))
        return sum(len(value) for _, value in headers)

    async def only_message(self) -> bytes:
        """The request of a method that takes exactly one message.

        Raises:
            CancelledError: the client left before it was there.
            MalformedError: there is none, or more than one, or it is cut off; and as ``Frames.next``.
        """
        body = await self._next_piece()
        if self._read_to_end:
            message = only_plain_message(body, self._limit)
            if message is not None:
                return message
        self._frames.take(body)
        message = await self.next_message()
        if message is None:
            raise MalformedError("request", "the request holds no message")
        if (not self._read_to_end and await self.next_message() is not None) or not self._frames.empty:
            raise MalformedError("request", "the request holds more than one message")
        return message

    async def next_message(self) -> bytes | None:
        """The next message of the request; ``None`` at its end.

        Raises:
            CancelledError: the client left before it was there.
            MalformedError: the request ends within a message; and as ``Frames.next``.
        """
        frames = self._frames
        while (message := frames.next()) is None:
            if self._read_to_end:
                if frames.empty:
                    return None
                raise MalformedError("request", "the request ends within a message")
            frames.take(await self._next_piece())
        return message

    def speak(
        self, read: Callable[[bytes], Any], write: Callable[[Any], bytes], *, takes_stream: bool
    ) -> None:
        """Set how messages are read and written, for a method that streams.

        Args:
            read: makes a request message of its bytes.
            write: the reverse, for the response.
            takes_stream: whether the request may go on for ever.
        """
        self._read, self._write, self._takes_stream = read, write, takes_stream

    async def messages(self) -> AsyncIterator[Any]:
        """The request of a method that takes a stream."""
        while (message := await self.next_message()) is not None:
            yield self._read(message)

    async def answer(self, message: bytes) -> None:
        """End a call whose response is this one message; dropped where another status than OK was set.

        Raises:
            CancelledError: the client has left.
        """
        send = self._send
        try:
            if self._initial or self._trailing or self._started or self._code:
                if self._code in _GOOD:
                    await self.write_framed(framed(message))
                await self.end()
                return
            self._started = True
            await send(_START)
            await send({"type": "http.response.body", "body": framed(message)})
            await send(_OK_TRAILERS)
        except OSError:
            self._leave()

    async def write_framed(self, frame: bytes) -> None:
        """Send a part of the response; returns when Envoy has room for more.

        Raises:
            CancelledError: the client has left.
        """
        try:
            await self._start()
            await self._send({"type": "http.response.body", "body": frame, "more_body": True})
        except OSError:
            self._leave()

    async def end(self, more: Sequence[Field] = ()) -> None:
        """End the call with the status that was set, OK if none was.

        Args:
            more: header fields besides, of a response that has not begun.
        """
        code = self._code or grpc.StatusCode.OK
        number: int = code.value[0]
        trailers = [(b"grpc-status", b"%d" % number), *fields_of(self._trailing)]
        if self._details:
            trailers.insert(1, (b"grpc-message", encoded_message(self._details)))
        if self._started or code is grpc.StatusCode.OK:
            await self._start()
            await self._send({"type": "http.response.body", "body": b""})
            await self._send({"type": "http.response.trailers", "headers": trailers})
            return
        self._started = True
        headers = [_CONTENT_TYPE, *more, *fields_of(self._initial), *trailers]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": b""})

    async def end_with(self, page: HttpResponse) -> None:
        """End a call whose response has not begun, and that came by REST, with an answer of HTTP."""
        self._started = True
        await send_page(self._send, page)

    def beat(self, now: float, patience: int) -> None:
        """Look after a call that has been under way for another while; cancels it when it is over.

        Envoy's module tells of a client that left only to somebody who reads, and once the request has been
        read answers at once: so it is asked from time to time.

        Args:
            now: the loop's clock.
            patience: beats that a request that is not a stream may take to arrive.
        """
        self._beats += 1
        late = self._beats > patience and not (self._read_to_end or self._takes_stream)
        if late or now >= self.deadline:
            self._over(overdue=True)
        elif self._read_to_end and (self._beats in _ASKED_AT or not self._beats % _THEN_EVERY):
            asyncio.ensure_future(self._receive()).add_done_callback(self._told)

    def cut_off(self) -> None:
        """Cancel the call, again if need be: the server does not wait any longer."""
        if self._task is not None:
            self._cancelled = True
            self._task.cancel()

    # -- what servicers do with it

    def invocation_metadata(self) -> tuple[Pair, ...]:
        """The call's metadata, in order."""
        return tuple(metadata_of(self._scope["headers"]))

    def peer(self) -> str:
        """The address at the other end of the connection, as gRPC spells it."""
        client = self._scope.get("client")
        if client is None:
            return "unix:"
        host, port = client
        return f"ipv6:%5B{host}%5D:{port}" if ":" in host else f"ipv4:{host}:{port}"

    def auth_context(self) -> Mapping[str, Sequence[bytes]]:
        """What is known of the connection's security: TLS or not, and the client's certificate."""
        tls = self._scope["extensions"].get("tls")
        if tls is None:
            return {}
        name = common_name(tls.get("client_cert_name") or "")
        known = {"transport_security_type": [b"ssl"]}
        return known | {"x509_common_name": [name.encode()]} if name else known

    def peer_identity_key(self) -> str | None:
        """Which entry of ``auth_context`` tells the client."""
        return "x509_common_name" if "x509_common_name" in self.auth_context() else None

    def peer_identities(self) -> Sequence[bytes] | None:
        """The client's names by its certificate; ``None`` without one."""
        return self.auth_context().get("x509_common_name")

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
        await self.write_framed(b"")

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
        """Send a message of the response."""
        await self.write_framed(framed(self._write(message)))

    def time_remaining(self) -> float | None:
        """Seconds until the deadline; ``None`` without one."""
        if self.deadline == NEVER:
            return None
        return max(0.0, self.deadline - asyncio.get_running_loop().time())

    def done(self) -> bool:
        """Whether the call has ended."""
        return self._task is not None and self._task.done()

    def cancelled(self) -> bool:
        """Whether it was ended from outside: by the client's leaving, its deadline, or the server's stop."""
        return self._cancelled or self.gone

    def add_done_callback(self, callback: Callable[[EnvoyCall], None]) -> None:
        """Have this called with the call when it has ended."""
        if self._task is not None:
            self._task.add_done_callback(lambda _: callback(self))

    def set_compression(self, compression: grpc.Compression) -> None:
        """Ignored: responses are small, and are sent as they are."""

    def disable_next_message_compression(self) -> None:
        """Ignored, since none is compressed."""

    # --

    @property
    def _frames(self) -> Frames:
        """What pieces of the request are put together in."""
        if self._pieces is None:
            encoding = self._fields.get(b"grpc-encoding", b"").decode("latin-1")
            self._pieces = Frames(encoding, self._limit)
        return self._pieces

    async def _next_piece(self) -> bytes:
        """The next bytes of the request, however they were cut."""
        event = await self._receive()
        body: bytes | None = event.get("body")
        if body is None:
            self._leave()
        self._read_to_end = not event.get("more_body")
        return body

    async def _start(self) -> None:
        if self._started:
            return
        self._started = True
        headers = [_CONTENT_TYPE, *fields_of(self._initial)]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": True})

    def _leave(self) -> NoReturn:
        """End a call whose client has left, in the way that ``grpc.aio`` ends it."""
        self.gone = True
        raise asyncio.CancelledError

    def _told(self, asked: asyncio.Future[Event]) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            if asked.exception() is not None or asked.result().get("body") is None:
                self.gone = True
                self._over(overdue=False)

    def _over(self, *, overdue: bool) -> None:
        """Cancel the call: once, so that what tidies up is left to it."""
        if not self._cancelled and self._task is not None:
            self._cancelled, self.overdue = True, overdue
            self._task.cancel()
