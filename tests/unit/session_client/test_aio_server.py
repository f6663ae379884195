"""A ``grpc.aio`` server that no path ends; and that the private parts of grpcio are as it expects."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc._cython import cygrpc
from grpc.aio import _server as grpc_aio_server
from session_client import _aio_server, aio_server

from tests.support import LOOPBACK, eventually_async
from tests.support.raw_http2 import raw_http2

MESSAGE = b"\0\0\0\0\1x"
NOT_UTF8 = "/\udcff"
UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED.value[0]
RESOURCE_EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]


async def _echo(request: bytes, _context: object) -> bytes:
    return request


class _Methods:
    """Registers one method as generated code does: by generic handlers, and by name."""

    def __init__(self) -> None:
        self._handlers: dict[str, Any] = {"Echo": grpc.unary_unary_rpc_method_handler(_echo)}

    def add_to(self, server: Any, *, generic: bool, registered: bool) -> None:
        if generic:
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", self._handlers),))
        if registered:
            server.add_registered_method_handlers("t.T", self._handlers)


@asynccontextmanager
async def _serving(server: Any, *, generic: bool = True, registered: bool = True) -> AsyncIterator[str]:
    _Methods().add_to(server, generic=generic, registered=registered)
    port = server.add_insecure_port(f"{LOOPBACK}:0")
    await server.start()
    yield f"{LOOPBACK}:{port}"
    await server.stop(None)


@pytest.mark.parametrize(("generic", "registered"), [(True, False), (False, True), (True, True)])
async def test_no_path_ends_it(*, generic: bool, registered: bool) -> None:
    """A path that is not UTF-8 is an unknown method; known methods are answered before and after."""
    async with (
        _serving(aio_server(), generic=generic, registered=registered) as address,
        raw_http2(address) as connection,
    ):
        for _ in range(3):
            assert (await connection.call("/t.T/Echo", MESSAGE)).body == MESSAGE
            assert (await connection.call(NOT_UTF8, MESSAGE)).code == UNIMPLEMENTED
            assert (await connection.call("/t.T/Other", MESSAGE)).code == UNIMPLEMENTED


async def test_the_library_itself_is_ended() -> None:
    """What this is for: once grpc.aio.server survives such a path, the module can go."""
    server = grpc.aio.server()
    _Methods().add_to(server, generic=True, registered=False)
    port = server.add_insecure_port(f"{LOOPBACK}:0")
    await server.start()
    async with raw_http2(f"{LOOPBACK}:{port}") as connection:
        await connection.open(NOT_UTF8, MESSAGE)
        with pytest.raises(UnicodeDecodeError):
            await server.wait_for_termination(10)


async def test_interceptors_see_every_call() -> None:
    """Calls of known and of unknown methods pass through the interceptors."""
    seen = []

    class Interceptor(grpc.aio.ServerInterceptor):
        async def intercept_service(self, continuation: Any, details: Any) -> Any:
            seen.append(details.method)
            return await continuation(details)

    async with (
        _serving(aio_server(interceptors=[Interceptor()])) as address,
        raw_http2(address) as connection,
    ):
        await connection.call("/t.T/Echo", MESSAGE)
        await connection.call(NOT_UTF8, MESSAGE)
    assert seen == ["/t.T/Echo", _aio_server._UNKNOWN]


async def test_calls_beyond_the_limit_are_refused() -> None:
    """The limit of calls and the options reach gRPC."""
    options = [("grpc.max_receive_message_length", 3)]
    async with (
        _serving(aio_server(options=options, maximum_concurrent_rpcs=1)) as address,
        raw_http2(address) as connection,
    ):
        first = await connection.open("/t.T/Echo", end=False)
        assert (await connection.call("/t.T/Echo", MESSAGE)).code == RESOURCE_EXHAUSTED
        await connection.send(first, b"\0\0\0\0\4xxxx")
        await asyncio.wait_for(first.over.wait(), 10)
        assert first.code == RESOURCE_EXHAUSTED


async def test_a_call_that_is_over_makes_room() -> None:
    """As many calls as one likes, one after the other."""
    async with _serving(aio_server(maximum_concurrent_rpcs=1)) as address, raw_http2(address) as connection:

        async def answered() -> bool:
            return (await connection.call("/t.T/Echo", MESSAGE)).body == MESSAGE

        for _ in range(3):
            # The one before it may not be over for the server yet.
            await eventually_async(answered)


async def test_a_request_for_calls_that_fails_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the server runs gRPC may fail one; the method goes on being served."""
    request = _aio_server._Acceptor._next_call
    failures = iter([True, True])

    def failing(self: Any, method: bytes) -> Any:
        if method == b"/t.T/Echo" and next(failures, False):
            raise cygrpc._RequestCallError
        return request(self, method)

    monkeypatch.setattr(_aio_server._Acceptor, "_next_call", failing)
    async with _serving(aio_server()) as address, raw_http2(address) as connection:
        assert (await connection.call("/t.T/Echo", MESSAGE)).body == MESSAGE
        assert next(failures, None) is None


async def test_a_request_for_calls_that_cannot_be_made_ends_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its process can then be started again; a port on which nobody accepts is worse."""

    def failing(_: Any, __: bytes) -> Any:
        raise KeyError("no such method")

    monkeypatch.setattr(_aio_server._Acceptor, "_next_call", failing)
    server: Any = aio_server()
    _Methods().add_to(server, generic=True, registered=False)
    server.add_insecure_port(f"{LOOPBACK}:0")
    await server.start()
    with pytest.raises(KeyError):
        await server.wait_for_termination(10)


async def test_metadata_that_is_not_utf8_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """One line a minute, without the value, which may be somebody's token."""
    _aio_server._UNDECODABLE_METADATA._next = 0.0
    async with _serving(aio_server()) as address, raw_http2(address) as connection:
        for _ in range(5):
            answer = await connection.call("/t.T/Echo", MESSAGE, headers={"authorization": "hunter2\udcff"})
            assert answer.body == MESSAGE
    [record] = [each for each in caplog.records if each.name.startswith("grpc")]
    assert (record.levelno, record.exc_info) == (logging.WARNING, None)
    assert "hunter2" not in record.getMessage()


async def test_handlers_that_name_no_methods_are_refused() -> None:
    """Calls to them could not be told from those of unknown methods."""

    class Anything(grpc.GenericRpcHandler):
        def service(self, handler_call_details: object) -> None:
            """Never asked."""

    with pytest.raises(TypeError, match="method_handlers_generic_handler"):
        aio_server().add_generic_rpc_handlers([Anything()])


def test_the_private_parts_are_as_expected() -> None:
    """A release of grpcio that renames one fails here, and not on a server."""
    assert list(inspect.signature(grpc_aio_server.Server.__init__).parameters) == [
        *("self", "thread_pool", "generic_handlers", "interceptors", "options"),
        *("maximum_concurrent_rpcs", "compression"),
    ]
    acceptor = cygrpc.AioServer
    for method in ("_make_request_call_future", "_request_call", "_request_registered_call", "is_running"):
        assert callable(getattr(acceptor, method))
    assert issubclass(cygrpc._RequestCallError, Exception)
    assert cygrpc._MethodResolver([], {"/t.T/Echo": None})
    for function, most in ((cygrpc._handle_rpc, 6), (cygrpc._schedule_rpc_coro, 4)):
        assert asyncio.iscoroutinefunction(function)
        assert len(inspect.signature(function).parameters) == most
    assert callable(grpc_aio_server._augment_channel_arguments)
    handler = grpc.method_handlers_generic_handler(
        "t.T", {"Echo": grpc.unary_unary_rpc_method_handler(_echo)}
    )
    assert list(handler._method_handlers) == ["/t.T/Echo"]  # type: ignore[attr-defined]
