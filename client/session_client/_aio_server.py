r"""A ``grpc.aio`` server that survives method names which are not UTF-8.

``grpc.aio`` decodes the path of every call to an unregistered method as UTF-8, in the coroutine that accepts
calls: one byte that is none (``:path: /\xff``) raises there, the server accepts nothing any more, and the
process stays (grpcio 1.85). The name of a registered method is not read from the request. So each method is
registered here, and calls of all others are accepted under one name that nobody knows.

Metadata that is not UTF-8 is passed on, but logged with a traceback and its value, which may be a secret: a
line a minute replaces that.

The only module that uses private parts of grpcio: ``cygrpc.AioServer`` with its
``_make_request_call_future``, ``_request_call`` and ``_request_registered_call``; ``_handle_rpc``,
``_schedule_rpc_coro``, ``_MethodResolver`` and ``_RequestCallError`` of cygrpc; how ``grpc.aio.Server``
makes a server; how a generic handler keeps its methods; a message of cygrpc's logger. The tests of this
module say which behaviour each must have.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any, Final

import grpc
from grpc._cython import cygrpc
from grpc.aio import _server as grpc_aio_server

# Not to be guessed: nobody would answer a call by this name.
_UNKNOWN: Final = f"/{secrets.token_hex(16)}/unknown"
_UNKNOWN_BYTES: Final = _UNKNOWN.encode()

_LOGGER: Final = logging.getLogger("grpc._cython.cygrpc")
_LOG_SECONDS: Final = 60.0

Options = Sequence[tuple[str, Any]]


class _UndecodableMetadata(logging.Filter):
    """Replaces gRPC's records of metadata that is not UTF-8 by one a minute, without the value."""

    def __init__(self) -> None:
        super().__init__()
        self._next = -_LOG_SECONDS
        self._dropped = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is logged."""
        if not str(record.msg).startswith("Invalid encoding on"):
            return True
        if (now := time.monotonic()) < self._next:
            self._dropped += 1
            return False
        record.msg, record.args, record.exc_info = (
            "metadata that is not UTF-8 (%d more before)",
            (self._dropped,),
            None,
        )
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        self._next, self._dropped = now + _LOG_SECONDS, 0
        return True


_UNDECODABLE_METADATA: Final = _UndecodableMetadata()


class _Acceptor(cygrpc.AioServer):  # type: ignore[misc]
    """Accepts the calls of each method in a task of its own, and those of unknown methods as one method's.

    The library's loop keeps a future for each registered method and waits for all of them anew at every
    call: with the thirty of a service that is a third of what a call costs.
    """

    def __init__(
        self, interceptors: Sequence[grpc.aio.ServerInterceptor], arguments: Options, max_rpcs: int | None
    ) -> None:
        loop = cygrpc.get_working_loop()
        self._running_loop = loop
        self._seen_by = interceptors
        self._most = max_rpcs
        self._open: set[asyncio.Task[None]] = set()
        self._refused: set[asyncio.Task[None]] = set()
        self._accepting: list[asyncio.Task[None]] = []
        self._ended: asyncio.Future[Any] = loop.create_future()
        self._resolver: Any = None
        super().__init__(loop, None, (), interceptors, arguments, None)

    def serve_methods(self, methods: dict[str, grpc.RpcMethodHandler[Any, Any] | None]) -> None:
        """Take all methods by name."""
        self.add_registered_method_handlers(methods)
        self._resolver = cygrpc._MethodResolver([], methods)

    def _make_request_call_future(self, method: bytes | None) -> asyncio.Future[Any]:
        """Begin to accept a method's calls; what the library's loop waits for is the end of that.

        ``None`` stands for methods that are not registered, whose names would be decoded.
        """
        if method is not None:
            self._accepting.append(self._running_loop.create_task(self._accept(method)))
        return self._ended

    async def _accept(self, method: bytes) -> None:
        name = method.decode()
        try:
            while True:
                try:
                    # Kept by nothing here: it holds what the last caller sent.
                    self._begin(name, await self._next_call(method))
                except cygrpc._RequestCallError:
                    if not self.is_running():
                        raise
        except Exception as error:  # noqa: BLE001 - the library's loop raises it
            if not self._ended.done():
                self._ended.set_exception(error)

    def _next_call(self, method: bytes) -> Awaitable[Any]:
        known = method != _UNKNOWN_BYTES
        call: Awaitable[Any] = self._request_registered_call(method) if known else self._request_call()
        return call

    def _begin(self, name: str, call: Any) -> None:  # noqa: ANN401 - cygrpc.RPCState
        loop = self._running_loop
        exceeded = self._most is not None and len(self._open) >= self._most
        work = cygrpc._handle_rpc(name, self._resolver, self._seen_by, call, loop, exceeded)
        task = loop.create_task(cygrpc._schedule_rpc_coro(work, call, loop, name))
        tasks = self._refused if exceeded else self._open
        tasks.add(task)
        task.add_done_callback(tasks.discard)


class _AioServer(grpc_aio_server.Server):
    """A ``grpc.aio.Server`` whose methods are all registered by name when it starts."""

    def __init__(
        self, interceptors: Sequence[grpc.aio.ServerInterceptor], options: Options, max_rpcs: int | None
    ) -> None:
        # In place of the constructor of grpc.aio.Server, which makes another kind of acceptor.
        self._loop = cygrpc.get_working_loop()
        arguments = grpc_aio_server._augment_channel_arguments(options, None)
        self._server = _Acceptor(interceptors, arguments, max_rpcs)
        self._methods: dict[str, grpc.RpcMethodHandler[Any, Any] | None] = {_UNKNOWN: None}

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Take handlers that look methods up by name and list them, as ``methods`` or as grpc's own do.

        Raises:
            TypeError: a handler does not say which methods it has.
        """
        handlers = tuple(generic_rpc_handlers)
        for handler in handlers:
            methods = getattr(handler, "methods", None) or getattr(handler, "_method_handlers", None)
            if not isinstance(methods, Mapping):
                raise TypeError(
                    "generic_rpc_handlers: each must be made by grpc.method_handlers_generic_handler"
                )
            for name, method in methods.items():
                self._methods.setdefault(name, method)

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """Take the handlers of a service, as generated code brings them."""
        self._methods |= {f"/{service_name}/{name}": each for name, each in method_handlers.items()}

    async def start(self) -> None:
        """Serve; returns when it does."""
        self._server.serve_methods(self._methods)
        await super().start()


def aio_server(
    *,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    options: Options = (),
    maximum_concurrent_rpcs: int | None = None,
) -> grpc.aio.Server:
    """Make a server like ``grpc.aio.server`` that no method name ends.

    For servers that clients you do not trust can reach: with ``grpc.aio.server`` one request whose path is
    not UTF-8 stops the server for good, before any interceptor runs.

    Args:
        interceptors: as of ``grpc.aio.server``.
        options: likewise.
        maximum_concurrent_rpcs: likewise.
    """
    _LOGGER.addFilter(_UNDECODABLE_METADATA)
    server: grpc.aio.Server = _AioServer(tuple(interceptors), options, maximum_concurrent_rpcs)  # type: ignore[assignment]
    return server
