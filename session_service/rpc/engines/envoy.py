"""The engine inside Envoy: an ASGI application with the registration surface of ``grpc.aio.Server``.

Envoy is the server: HTTP/2, TLS, limits, REST and gRPC-Web are its filters (``envoy_bootstrap``). Its
module pyvoy runs Python in a thread beside and calls this application for every request. What is
left to do is gRPC itself: framing, metadata, deadlines, status and trailers.

One task looks after all calls under way, once a beat. That costs the calls nothing, where a timer
for each deadline and a reader for each client that may leave would cost every one of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import grpc

from session_service.domain.errors import SessionServiceError
from session_service.rpc.engines.asgi import Receive, Scope, Send
from session_service.rpc.engines.envoy_admin import EnvoyAdmin
from session_service.rpc.engines.envoy_call import EnvoyCall
from session_service.rpc.engines.envoy_pages import EnvoyPages
from session_service.rpc.engines.envoy_rest import check_query, rest_fields
from session_service.rpc.engines.framing import ACCEPTED_ENCODINGS
from session_service.rpc.http.status import http_failure
from session_service.rpc.http.values import HttpHandler
from session_service.rpc.limits import REQUEST_SECONDS, Limits
from session_service.rpc.metadata import Field, seconds_of
from session_service.rpc.refusals import (
    MalformedError,
    MetadataTooLargeError,
    RefusedError,
    StoppingError,
    TooManyCallsError,
    UnknownEncodingError,
    UnknownMethodError,
)
from session_service.rpc.status import status_of

_BEAT_SECONDS: Final = 0.05
# Envoy's transcoder notes there what it made a call of.
_TRANSCODED: Final = b"x-envoy-original-path"
_TRANSCODED_METHOD: Final = b"x-envoy-original-method"

log = logging.getLogger(__name__)


class EnvoyServer:
    """Answers what Envoy passes on.

    Args:
        limits: what it bears.
        admin: the Envoy that this runs in.
    """

    def __init__(self, limits: Limits, admin: EnvoyAdmin) -> None:
        self._limits = limits
        self._admin = admin
        self._patience = round(REQUEST_SECONDS / _BEAT_SECONDS)
        self._handlers: list[grpc.GenericRpcHandler] = []
        self._methods: dict[str, _Method] = {}
        self._pages = EnvoyPages(limits.max_concurrent_rpcs)
        self._calls: set[EnvoyCall] = set()
        self._stopped = False
        self._loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self._pulse: asyncio.Task[None] | None = None
        self._loop.set_exception_handler(_heed)
        self.prepared = asyncio.Event()
        """Set when everything is registered and Envoy may begin to listen."""

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Take handlers that look methods up by name."""
        self._handlers.extend(generic_rpc_handlers)

    def add_page(self, path: str, handler: HttpHandler) -> None:
        """Answer plain HTTP at this path."""
        self._pages.add(path, handler)

    async def start(self) -> None:
        """Let Envoy listen; returns when it does."""
        self._pulse = asyncio.create_task(self._beat(), name="calls")
        self.prepared.set()
        await self._admin.wait_live()

    async def stop(self, grace: float | None) -> None:
        """Send clients elsewhere, finish what is in flight, and cut off what is left.

        Args:
            grace: seconds for that; ``None`` = none.
        """
        if grace:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await self._admin.announce_end()
                    await self._admin.stop_listening()
                    await self._idle()
        # Connections that are open may still bring calls, and would for as long as somebody sends them.
        self._stopped = True
        self._pages.close()
        for call in list(self._calls):
            call.cut_off()
        await self._idle()
        if self._pulse is not None:
            self._pulse.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        fields: dict[bytes, bytes] = dict(scope["headers"])
        if not self._is_call(scope, fields):
            await self._pages.answer(scope, send, self._is_method)
            return
        task = asyncio.current_task(self._loop)
        limit = self._limits.message_bytes(scope["path"])
        call = EnvoyCall(scope, fields, receive, send, limit=limit, task=task)
        if not self._stopped:
            self._calls.add(call)
        try:
            await self._serve(call, scope["path"], fields)
        except asyncio.CancelledError:
            await _finish(call)
        except OSError:
            pass  # what pyvoy raises where the client has left
        finally:
            self._calls.discard(call)

    def _is_call(self, scope: Scope, fields: Mapping[bytes, bytes]) -> bool:
        """Whether a request is a call: a POST of gRPC's type, to what is no page.

        A page stays one whatever its request says of itself: a gateway passes on what a client wrote, and
        takes the 200 that every answer of gRPC has for a yes. And HEAD forbids the body that a call has.
        """
        return (
            fields.get(b"content-type", b"").startswith(b"application/grpc")
            and scope["method"] == "POST"
            and scope["path"] not in self._pages
        )

    async def _serve(self, call: EnvoyCall, path: str, fields: Mapping[bytes, bytes]) -> None:
        """Serve a call by its method, whatever is wrong with it."""
        more: list[Field] = []
        try:
            self._admit(call, fields)
            method = self._methods.get(path) or self._look_up(path)
            if await method.serve(call):
                return
        except grpc.aio.AbortError:
            pass  # the status is set
        except RefusedError as error:
            if isinstance(error, MetadataTooLargeError) and _TRANSCODED in fields:
                # Of the code alone the transcoder would make 429: too many requests.
                await call.end_with(http_failure(431, error.code, str(error)))
                return
            _fail(call, error)
            if isinstance(error, UnknownEncodingError):
                more.append((b"grpc-accept-encoding", ACCEPTED_ENCODINGS.encode()))
        except Exception:
            log.exception("call failed", extra={"method": path})
            _fail(call, SessionServiceError())
        if _TRANSCODED in fields:
            more += rest_fields(call.code(), call.trailing_metadata())
        await call.end(more)

    def _admit(self, call: EnvoyCall, fields: Mapping[bytes, bytes]) -> None:
        limits = self._limits
        if self._stopped:
            raise StoppingError("the server stops")
        if len(self._calls) > limits.max_open_calls:
            raise TooManyCallsError("more calls are under way than the server takes")
        if fields.get(b"te") != b"trailers":
            raise MalformedError("metadata", "te: trailers is needed, since a call's status is in trailers")
        if call.metadata_size() > limits.max_metadata_bytes:
            raise MetadataTooLargeError(f"the metadata has more than {limits.max_metadata_bytes} bytes")
        if _TRANSCODED in fields:
            method = fields.get(_TRANSCODED_METHOD, b"").decode("latin-1")
            check_query(method, fields[_TRANSCODED].decode("latin-1"))
        timeout = fields.get(b"grpc-timeout")
        if timeout is not None:
            call.deadline = self._loop.time() + seconds_of(timeout)

    def _look_up(self, path: str) -> _Method:
        """The method of this name, kept for the next call of it."""
        details = _Details(path)
        for each in self._handlers:
            handler = each.service(details)
            if handler is not None:
                found = self._methods[path] = _method_of(handler)
                return found
        raise UnknownMethodError("Method not found!")

    def _is_method(self, path: str) -> bool:
        try:
            return bool(self._methods.get(path) or self._look_up(path))
        except UnknownMethodError:
            return False

    async def _beat(self) -> None:
        """Look after the calls under way."""
        while True:
            await asyncio.sleep(_BEAT_SECONDS)
            now = self._loop.time()
            for call in list(self._calls):
                try:
                    call.beat(now, self._patience)
                except Exception:
                    # No reason to look after no call ever again.
                    log.exception("a call cannot be looked after")

    async def _idle(self) -> None:
        """Return when two beats in a row have seen no call."""
        quiet = 0
        while quiet < 2:  # noqa: PLR2004 - as said
            await asyncio.sleep(_BEAT_SECONDS)
            quiet = 0 if self._calls or self._pages.under_way else quiet + 1


@dataclass(slots=True)
class _Details:
    """What a generic handler looks a method up by; a ``grpc.HandlerCallDetails``."""

    method: str
    invocation_metadata: tuple[tuple[str, str | bytes], ...] = ()


class _Method(Protocol):
    """A method as the engine serves it."""

    async def serve(self, call: EnvoyCall) -> bool:
        """Serve a call; ``False`` if it is left to end it with the status that was set."""


class _Unary:
    """One message for one message."""

    def __init__(self, handler: Any) -> None:  # noqa: ANN401 - grpc's handlers are untyped
        self._behaviour = handler.unary_unary
        # Without, grpcio passes bytes on as they are.
        self._read = handler.request_deserializer or bytes
        self._write = handler.response_serializer or bytes

    async def serve(self, call: EnvoyCall) -> bool:
        request = self._read(await call.only_message())
        response = await self._behaviour(request, call)
        if response is None:
            return False
        await call.answer(self._write(response))
        return True


class _Streaming:
    """Many messages at least one way; the method yields its responses, or writes them to the call."""

    def __init__(self, handler: Any) -> None:  # noqa: ANN401 - grpc's handlers are untyped
        self._takes_stream = handler.request_streaming
        self._behaviour = handler.stream_stream or handler.unary_stream
        self._yields = inspect.isasyncgenfunction(self._behaviour)
        self._read = handler.request_deserializer or bytes
        self._write = handler.response_serializer or bytes

    async def serve(self, call: EnvoyCall) -> bool:
        call.speak(self._read, self._write, takes_stream=self._takes_stream)
        request: AsyncIterator[Any] | Any
        request = call.messages() if self._takes_stream else self._read(await call.only_message())
        if self._yields:
            async for response in self._behaviour(request, call):
                await call.write(response)
        else:
            await self._behaviour(request, call)
        return False


def _method_of(handler: Any) -> _Method:  # noqa: ANN401 - grpc's handlers are untyped
    unary = not (handler.request_streaming or handler.response_streaming)
    return _Unary(handler) if unary else _Streaming(handler)


def _heed(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what was raised outside of any call, but for answers to reads that were given up.

    pyvoy answers them once their request has ended; a line for each would be a log that anybody can fill.
    """
    if not isinstance(context.get("exception"), asyncio.InvalidStateError):
        loop.default_exception_handler(context)


def _fail(call: EnvoyCall, error: Exception) -> None:
    status = status_of(error)
    call.set_code(status.code)
    call.set_details(status.message)
    call.set_trailing_metadata(status.trailers)


async def _finish(call: EnvoyCall) -> None:
    """End a call that was cancelled, by whoever it was."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
    if call.gone:
        return
    if call.overdue:
        call.set_code(grpc.StatusCode.DEADLINE_EXCEEDED)
        call.set_details("Deadline Exceeded")
    else:
        call.set_code(grpc.StatusCode.UNAVAILABLE)
        call.set_details("the server stops")
    with contextlib.suppress(OSError):
        await call.end()
