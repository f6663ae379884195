"""How calls that are no part of a batch are served: a task each, by the method's shape."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator
from typing import Any, Final, Protocol

import grpc

from session_service.domain.errors import SessionServiceError
from session_service.engines.native.call import NativeCall, refusal
from session_service.engines.native.surface import Call
from session_service.rpc.refusals import RefusedError, UnknownEncodingError
from session_service.rpc.status import status_of

ACCEPTED_ENCODINGS: Final = (b"grpc-accept-encoding", b"identity,deflate,gzip")

log = logging.getLogger(__name__)


class Method(Protocol):
    """A method as the engine serves it."""

    streams: bool
    """Whether its requests or its responses stream."""

    async def serve(self, context: NativeCall, call: Call) -> None:
        """Serve a call to its end, or raise."""


class UnaryMethod:
    """One message for one message."""

    streams = False

    def __init__(self, handler: Any) -> None:  # noqa: ANN401 - grpc's handlers are untyped
        self._behaviour = handler.unary_unary
        # Without, grpcio passes bytes on as they are.
        self._read = handler.request_deserializer or bytes
        self._write = handler.response_serializer or bytes

    async def serve(self, context: NativeCall, call: Call) -> None:
        """Serve a call."""
        response = await self._behaviour(self._read(call.message), context)
        if response is None:
            context.end()
        else:
            context.answer(self._write(response))


class StreamingMethod:
    """Many messages at least one way; the method yields its responses, or writes them to the call."""

    streams = True

    def __init__(self, handler: Any) -> None:  # noqa: ANN401 - grpc's handlers are untyped
        self._takes_stream = handler.request_streaming
        self._behaviour = handler.stream_stream or handler.unary_stream or handler.stream_unary
        self._returns = not handler.response_streaming
        self._yields = inspect.isasyncgenfunction(self._behaviour)
        self._read = handler.request_deserializer or bytes
        self._write = handler.response_serializer or bytes

    async def serve(self, context: NativeCall, _call: Call) -> None:
        """Serve a call."""
        context.speak(self._read, self._write)
        request: AsyncIterator[Any] | Any
        request = context.messages() if self._takes_stream else self._read(await context.only_message())
        if self._yields:
            async for response in self._behaviour(request, context):
                await context.write(response)
        else:
            response = await self._behaviour(request, context)
            if self._returns and response is not None:
                await context.write(response)
        context.end()


def method_of(handler: Any) -> Method:  # noqa: ANN401 - grpc's handlers are untyped
    """A method by its handler."""
    unary = not (handler.request_streaming or handler.response_streaming)
    return UnaryMethod(handler) if unary else StreamingMethod(handler)


async def serve(method: Method | None, context: NativeCall, call: Call) -> None:
    """Serve a call to its end, whatever is wrong with it."""
    try:
        if call.fault is not None or method is None:
            raise refusal(call.fault or ("unknown_method", "Method not found!"))
        await method.serve(context, call)
    except grpc.aio.AbortError:
        context.end()  # the status is set
    except asyncio.CancelledError:
        _finish_cancelled(context)
    except RefusedError as error:
        fail(context, error)
    except Exception:
        log.exception("call failed", extra={"method": call.path})
        fail(context, SessionServiceError())


def fail(context: NativeCall, error: Exception) -> None:
    """End a call with the status of an error."""
    status = status_of(error)
    context.set_code(status.code)
    context.set_details(status.message)
    context.set_trailing_metadata(status.trailers)
    context.end((ACCEPTED_ENCODINGS,) if isinstance(error, UnknownEncodingError) else ())


def _finish_cancelled(context: NativeCall) -> None:
    """End a call that was cancelled, by whoever it was; nobody waits for one that is gone."""
    if context.gone:
        return
    context.set_code(grpc.StatusCode.UNAVAILABLE)
    context.set_details("the server stops")
    context.end()
