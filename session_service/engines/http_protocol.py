"""One connection of HTTP/1: uvicorn's, with bounds of time, size and number, and with refusals in JSON.

Overrides ``H11Protocol`` of uvicorn, and reads its attributes ``app``, ``conn``, ``cycle``, ``flow``,
``tasks``, ``transport`` and ``timeout_keep_alive_task``: hence the upper bound in pyproject.toml.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from session_service.rpc.http import refusals
from session_service.rpc.http.values import (
    HttpHandler,
    HttpReply,
    HttpRequest,
    HttpResponse,
    HttpStream,
)
from session_service.rpc.limits import REQUEST_SECONDS, Limits

Event = dict[str, Any]
Headers = list[tuple[bytes, bytes]]

STALLED_SECONDS: Final = 60.0
"""How long a client may leave an answer untaken."""

_LINGER_SECONDS: Final = 2.0
_MOST_DISCARDED: Final = 1 << 23
_CLOSE: Final = (b"connection", b"close")
_AGE_SPREAD: Final = 0.1
_VERSIONS: Final = frozenset({"1.0", "1.1"})
_MAPPED: Final = "::ffff:"
# What uvicorn logs of requests that anybody can send would be a log that anybody can fill.
_SILENT: Final = logging.getLogger("session_service.uvicorn")
_SILENT.disabled = True

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """What all connections of a server share.

    Args:
        answer: answers requests.
        limits: what they may cost.
        connections: how many there may be.
    """

    answer: HttpHandler
    limits: Limits
    connections: int


class HttpProtocol(H11Protocol):
    """One connection.

    Args:
        terms: what it shares.
        config: uvicorn's.
        state: uvicorn's.
    """

    def __init__(self, terms: Terms, config: Config, state: ServerState) -> None:
        super().__init__(config, state, {}, asyncio.get_running_loop())
        self.logger = _SILENT
        self.app = self._serve
        self._terms = terms
        age = terms.limits.max_connection_age
        self._old_at = self.loop.time() + age * random.uniform(1 - _AGE_SPREAD, 1)  # noqa: S311 - no secret
        self._draining = False
        self._since = self.loop.time()
        self._state = ""
        self._lingering = False

    # -- of asyncio and uvicorn

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        """Begin, unless there are too many connections."""
        super().connection_made(transport)
        if len(self.connections) > self._terms.connections:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Read on, unless the connection only waits for its client to have read the last answer."""
        if not self._lingering:
            super().data_received(data)

    def shutdown(self) -> None:
        """End when the request that is in hand or arriving has been answered, at once if there is none."""
        self._draining = True
        if not self.conn.trailing_data[0]:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's text is none of ours
        """Answer what is no HTTP, and end."""
        most = self._terms.limits.max_metadata_bytes
        too_long = len(self.conn.trailing_data[0]) > most
        if self.conn.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            self.transport.close()
            return
        self._write_at_once(refusals.header_too_large(most) if too_long else refusals.NOT_HTTP)
        # What was sent and not read would make a reset of the close, which may overtake the answer.
        self._lingering = True
        self.loop.call_later(_LINGER_SECONDS, self.transport.close)

    def _should_upgrade(self) -> bool:
        """No: whoever asks for a websocket gets the answer of any other request."""
        return False

    # -- of the server

    def overdue(self, now: float) -> bool:
        """Whether it has been in one state for longer than it may.

        Args:
            now: the loop's clock.
        """
        state, allowed = self._state_and_time()
        if state != self._state:
            self._state, self._since = state, now
        grace = self._terms.limits.max_connection_age_grace
        too_old = state == "serving" and now > self._old_at + grace
        return too_old or now - self._since > allowed

    def _state_and_time(self) -> tuple[str, float]:
        """What it waits for, and for how many seconds it may."""
        if self.transport.is_closing():
            return "closing", STALLED_SECONDS
        if self.flow.write_paused:
            return "writing", STALLED_SECONDS
        if self.conn.their_state is h11.IDLE and self.timeout_keep_alive_task is None:
            return f"header after {id(self.cycle)}", self._terms.limits.handshake_timeout
        return "serving", float("inf")

    # -- one request

    async def _serve(self, scope: Event, receive: Any, send: Any) -> None:  # noqa: ANN401 - as ASGI has them
        """Answer a request: the ASGI application of this connection."""
        try:
            reply = await self._reply(scope, receive)
        except _GoneError:
            return
        except Exception:
            log.exception("request failed", extra={"path": scope["path"]})
            reply = refusals.FAILED
        await _send(send, reply, closes=self._closes(reply))

    async def _reply(self, scope: Event, receive: Any) -> HttpReply:  # noqa: ANN401 - as ASGI has it
        if len(self.tasks) > self._terms.limits.max_open_calls:
            return refusals.BUSY
        headers: Headers = scope["headers"]
        names = {name for name, _ in headers}
        # Of two lengths, whatever stands before may have believed the other (RFC 9112 §6.3).
        two_lengths = {b"content-length", b"transfer-encoding"} <= names
        if two_lengths or scope["http_version"] not in _VERSIONS:
            return refusals.NOT_HTTP
        limit = self._terms.limits.message_bytes(scope["path"])
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                body = await _body(receive, limit, _length(headers))
        except TimeoutError:
            return refusals.LATE_REQUEST
        except _TooLargeError:
            if not any(name == b"expect" for name, _ in headers):
                await _discard(receive)
            return refusals.too_large(limit)
        return await self._answered_to(receive, self._request(scope, body))

    async def _answered_to(self, receive: Any, request: HttpRequest) -> HttpReply:  # noqa: ANN401 - of ASGI
        """The answer; cancelled if the client leaves before it is there."""
        answering = asyncio.ensure_future(_made(self._terms.answer, request))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                raise _GoneError
            return answering.result()
        finally:
            leaving.cancel()
            answering.cancel()

    def _request(self, scope: Event, body: bytes) -> HttpRequest:
        tls = self.transport.get_extra_info("ssl_object")
        return HttpRequest(
            scope["method"],
            scope["raw_path"].decode("latin-1"),
            scope["query_string"].decode("latin-1"),
            [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
            body,
            _peer(scope["client"]),
            tls is not None,
            tls.getpeercert(binary_form=True) if tls is not None else None,
        )

    def _closes(self, reply: HttpReply) -> bool:
        """Whether this is the connection's last answer: a request whose body was left unread ends it."""
        unread = self.conn.their_state is h11.SEND_BODY
        return self._draining or unread or reply is refusals.NOT_HTTP or self.loop.time() > self._old_at

    def _write_at_once(self, response: HttpResponse) -> None:
        headers = _fields(response.headers, len(response.body), closes=True)
        start = h11.Response(status_code=response.status, headers=headers)
        for event in (start, h11.Data(data=response.body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")


class _GoneError(Exception):
    """The client has left."""


class _TooLargeError(Exception):
    """A body is over its limit."""


async def _made(answer: HttpHandler, request: HttpRequest) -> HttpReply:
    return await answer(request)


async def _left(receive: Any) -> None:  # noqa: ANN401 - as ASGI has it
    """Return when the client has left."""
    while (await receive())["type"] == "http.request":
        pass


async def _discard(receive: Any) -> None:  # noqa: ANN401 - as ASGI has it
    """Read what a client still sends, for a while: most look at an answer only when they have sent all."""
    left = _MOST_DISCARDED
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_SECONDS):
            while left > 0:
                event = await receive()
                left -= len(event.get("body", b""))
                if not event.get("more_body"):
                    return


async def _body(receive: Any, limit: int, length: int) -> bytes:  # noqa: ANN401 - as ASGI has it
    """All of a request's body.

    Args:
        receive: ASGI's.
        limit: bytes that it may have.
        length: bytes that it is said to have.
    """
    if length > limit:
        raise _TooLargeError
    body = bytearray()
    while True:
        event = await receive()
        if event["type"] != "http.request":
            raise _GoneError
        body += event["body"]
        if len(body) > limit:
            raise _TooLargeError
        if not event["more_body"]:
            return bytes(body)


async def _send(send: Any, reply: HttpReply, *, closes: bool) -> None:  # noqa: ANN401 - as ASGI has it
    if isinstance(reply, HttpStream):
        headers = _fields(reply.headers, None, closes=closes)
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        async with contextlib.aclosing(reply.pieces) as pieces:  # type: ignore[type-var]  # generators are
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})
        return
    headers = _fields(reply.headers, len(reply.body), closes=closes)
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


def _fields(headers: Sequence[tuple[str, str]], length: int | None, *, closes: bool) -> Headers:
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    if length is not None:
        fields.append((b"content-length", b"%d" % length))
    return [*fields, _CLOSE] if closes else fields


def _length(headers: Headers) -> int:
    """What ``content-length`` says; h11 has seen that it is a number."""
    return next((int(value) for name, value in headers if name == b"content-length"), 0)


def _peer(client: tuple[str, int] | None) -> str:
    """The other end as gRPC spells it."""
    if client is None:
        return "unix:"
    host, port = client
    host = host.removeprefix(_MAPPED) if "." in host else host
    return f"ipv6:%5B{host}%5D:{port}" if ":" in host else f"ipv4:{host}:{port}"
