"""What every method passes through, on whichever engine: mounted once, not built per call.

A ``Boundary`` has the registration surface of ``grpc.aio.Server``, so the generated
``add_…Servicer_to_server`` functions register on it; it wraps each method and passes it on to
the engines. Around a method, from the outside in:

1. ``measured``: the observer learns method, reason and duration;
2. ``answered``: every error becomes a status of ``rpc.status``; what is unforeseen is logged
   and answered with a fixed text, because gRPC would send the exception's own text;
3. ``room``: calls beyond ``max_calls`` are turned away. Counted once the request is there, and
   the streams of each method (a Watch of health may last for ever) in a quarter of their own, so that
   nobody takes all the room by opening calls and saying nothing, and no stream that of another kind.
   Calls of a method whose requests may be larger, each as much work as hundreds, likewise;
4. the deserialiser: bytes that are no message are INVALID_ARGUMENT, not gRPC's UNKNOWN; a message over
   its method's limit is RESOURCE_EXHAUSTED, where the engine has one limit for all methods.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import grpc
from google.protobuf.message import DecodeError

from session_service.domain.errors import FieldViolation, InvalidArgument, Overloaded
from session_service.rpc.limits import LARGER_REQUESTS, Limits
from session_service.rpc.refusals import TooLargeError
from session_service.rpc.status import RpcStatus, status_of

Behaviour = Callable[[Any, Any], Awaitable[Any]]
StreamBehaviour = Callable[[Any, Any], AsyncIterator[Any]]
Handlers = Mapping[str, "grpc.RpcMethodHandler[Any, Any]"]

OK: Final = "OK"
_CANCELLED: Final = "CANCELLED"
_ABORTED: Final = "ABORTED"

log = logging.getLogger(__name__)


class CallObserver(Protocol):
    """Told of every call that ended."""

    def call_ended(self, method: str, reason: str, seconds: float) -> None:
        """Note a call: ``reason`` is ``OK``, an ``ErrorInfo`` reason, or ``CANCELLED``."""


class Engine(Protocol):
    """The part of ``grpc.aio.Server`` that methods are registered on."""

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Take handlers that look methods up by name."""


class MethodHandlers(grpc.GenericRpcHandler):
    """Handlers by the full names of their methods, which an engine may also list.

    Args:
        methods: by name, such as ``/session.v1.SessionService/Login``.
    """

    def __init__(self, methods: Handlers) -> None:
        self.methods = methods

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The handler of a call's method; ``None`` if it is not one of these."""
        return self.methods.get(handler_call_details.method)


class BatchObserver(CallObserver, Protocol):
    """Told of calls that ended together, too."""

    def calls_ended(self, method: str, reason: str, seconds: float, count: int) -> None:
        """Note so many calls of one method that ended alike."""


class Room:
    """Room for some calls at a time."""

    __slots__ = ("_left",)

    def __init__(self, size: int) -> None:
        self._left = size

    def enter(self) -> None:
        """Take a place; to be left in any case.

        Raises:
            Overloaded: there was none.
        """
        self._left -= 1
        if self._left < 0:
            raise Overloaded

    def leave(self, places: int = 1) -> None:
        """Give places back."""
        self._left += places


class Boundary:
    """Wraps each registered method and passes it on to the engines.

    Args:
        engines: where methods are registered: the calls of all share the limits.
        observer: told of every call.
        limits: unary calls in hand at once, a quarter of it for each method's streams besides; sizes of
            messages.
    """

    def __init__(self, engines: Sequence[Engine], observer: CallObserver, limits: Limits) -> None:
        self._engines = engines
        self._observer = observer
        self._limits = limits
        self.calls = Room(limits.max_concurrent_rpcs)
        """Where unary calls find room."""
        self._quarter = max(1, limits.max_concurrent_rpcs // 4)

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Ignored: generated code registers the same methods by name as well."""

    def add_registered_method_handlers(self, service_name: str, method_handlers: Handlers) -> None:
        """Register a service's methods, each wrapped, to be looked up by name.

        Not as registered methods, although those need no look-up: for them ``grpc.aio`` keeps a task
        per method and goes through all of those tasks at every call.
        """
        wrapped = {
            f"/{service_name}/{name}": self._wrapped(f"/{service_name}/{name}", handler)
            for name, handler in method_handlers.items()
        }
        for engine in self._engines:
            engine.add_generic_rpc_handlers((MethodHandlers(wrapped),))

    def _wrapped(
        self, method: str, handler: grpc.RpcMethodHandler[Any, Any]
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """A handler of the same shape with the boundary around it."""
        limit = self._limits.message_bytes(method)
        read, write = safe_deserializer(handler.request_deserializer, limit), handler.response_serializer
        behaviour: Any = handler.unary_unary
        if not handler.response_streaming and not handler.request_streaming:
            room = Room(self._quarter) if method in LARGER_REQUESTS else self.calls
            unary = answered(method, behaviour, room, self._observer)
            return grpc.unary_unary_rpc_method_handler(unary, read, write)
        behaviour = handler.stream_stream or handler.unary_stream
        make = (
            grpc.stream_stream_rpc_method_handler
            if handler.request_streaming
            else grpc.unary_stream_rpc_method_handler
        )
        room = Room(self._quarter)
        if inspect.isasyncgenfunction(behaviour):
            return make(self._streamed(method, behaviour, room), read, write)
        if handler.request_streaming:
            behaviour = _of_whole_messages(behaviour)
        return make(answered(method, behaviour, room, self._observer), read, write)

    def _streamed(self, method: str, behaviour: StreamBehaviour, room: Room) -> StreamBehaviour:
        """A method that yields its responses."""
        ended = self._observer.call_ended

        async def answer(request: Any, context: Any) -> AsyncIterator[Any]:
            started = time.perf_counter()
            reason = _CANCELLED
            try:
                room.enter()
                if isinstance(request, Exception):
                    raise request
                requests = _whole_messages(request) if isinstance(request, AsyncIterator) else request
                async for response in behaviour(requests, context):
                    yield response
                reason = OK
            except grpc.aio.AbortError:
                reason = _ABORTED
                raise
            except Exception as error:  # noqa: BLE001 - the catch-all
                reason = _fail(method, error, context)
            finally:
                room.leave()
                ended(method, reason, time.perf_counter() - started)

        return answer


def answered(method: str, behaviour: Behaviour, room: Room, observer: CallObserver) -> Behaviour:
    """The boundary around a unary method, or a streaming one that writes to its context.

    Args:
        method: its full name.
        behaviour: what it does with a request and its context.
        room: where its calls find room.
        observer: notified when a call ends.
    """
    ended = observer.call_ended

    async def answer(request: Any, context: Any) -> Any:
        started = time.perf_counter()
        reason = _CANCELLED
        try:
            room.enter()
            if isinstance(request, Exception):
                raise request
            response = await behaviour(request, context)
            reason = OK
        except grpc.aio.AbortError:
            reason = _ABORTED
            raise
        except Exception as error:  # noqa: BLE001 - the catch-all
            reason = _fail(method, error, context)
            return None
        else:
            return response
        finally:
            room.leave()
            ended(method, reason, time.perf_counter() - started)

    return answer


def safe_deserializer(read: Callable[[bytes], Any] | None, limit: int) -> Callable[[bytes], Any]:
    """A deserialiser that never raises: what it does not read becomes the error to end the call with.

    Args:
        read: makes a message of bytes; ``None`` = they are left as they are.
        limit: bytes that a message may have.
    """

    def deserialize(raw: bytes) -> Any:
        if len(raw) > limit:
            # As grpc's own limit is worded.
            return TooLargeError(f"SERVER: Received message larger than max ({len(raw)} vs. {limit})")
        try:
            return read(raw) if read else raw
        except (DecodeError, ValueError):
            return _malformed()

    return deserialize


def _malformed() -> InvalidArgument:
    return InvalidArgument(
        FieldViolation("request", "must be a protobuf message of this method, text in UTF-8")
    )


def _of_whole_messages(behaviour: Behaviour) -> Behaviour:
    def behave(requests: Any, context: Any) -> Awaitable[Any]:
        return behaviour(_whole_messages(requests), context)

    return behave


async def _whole_messages(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        if isinstance(request, Exception):
            raise request
        yield request


def failure(method: str, error: Exception) -> RpcStatus:
    """The status that a call ends with for an error; what nobody foresaw is logged."""
    status = status_of(error)
    if status.code is grpc.StatusCode.INTERNAL:
        log.error("call failed", exc_info=error, extra={"method": method})
    return status


def _fail(method: str, error: Exception, context: Any) -> str:
    """Give the call the error's status; returns its reason.

    By setting, not by ``abort``: a server that stops does not wait for calls that aborted
    (grpc#37239), and on the way to a failed check no second exception is raised.
    """
    status = failure(method, error)
    context.set_code(status.code)
    context.set_details(status.message)
    context.set_trailing_metadata(status.trailers)
    return status.reason
