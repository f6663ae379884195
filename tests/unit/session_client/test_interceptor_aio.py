"""What only the guard of ``grpc.aio`` has: callers who leave, and a loop that is shared by all calls."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from session_client import AsyncSessionInterceptor, Identity, NoIdentity, current_identity
from session_client.testing import FakeSessions

from tests.support import LOOPBACK, eventually_async


@asynccontextmanager
async def serving(behaviour: Any, guard: Any) -> AsyncIterator[Any]:
    """A channel to a server with one method, under two names."""
    streams = inspect.isasyncgenfunction(behaviour)
    make: Any = grpc.unary_stream_rpc_method_handler if streams else grpc.unary_unary_rpc_method_handler
    handler = make(behaviour)
    methods = {"Guarded": handler, "Public": handler}
    server = grpc.aio.server(interceptors=[guard])
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("t.T", methods)])
    port = server.add_insecure_port(f"{LOOPBACK}:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"{LOOPBACK}:{port}") as channel:
        yield channel
    await server.stop(None)


async def test_a_caller_who_leaves_ends_his_check() -> None:
    """The check of a call that was cancelled is cancelled, and the method sees nothing of the call."""
    begun, left, served = asyncio.Event(), asyncio.Event(), []

    async def verify(_token: str) -> Identity:
        begun.set()
        try:
            raise await asyncio.get_running_loop().create_future()  # which never comes
        except asyncio.CancelledError:
            left.set()
            raise

    async def behaviour(request: bytes, _context: object) -> bytes:
        served.append(request)
        return b""

    async with serving(behaviour, AsyncSessionInterceptor(verify)) as channel:
        call = channel.unary_unary("/t.T/Guarded")(b"", metadata=[("authorization", "Bearer abc")])
        await begun.wait()
        call.cancel()
        await left.wait()
    assert served == []


async def test_a_slow_check_holds_nobody_else_up() -> None:
    """While one waits, others are let in, each by their own name."""
    sessions, release = FakeSessions(), asyncio.Event()
    slow, quick = sessions.log_in("ann"), sessions.log_in("bob")

    async def verify(token: str) -> Identity:
        if token == slow:
            await release.wait()
        return sessions.verify(token)

    async def behaviour(_request: bytes, _context: object) -> bytes:
        return current_identity().username.encode()

    async with serving(behaviour, AsyncSessionInterceptor(verify)) as channel:
        method = channel.unary_unary("/t.T/Guarded")
        waiting = asyncio.ensure_future(_awaited(method(b"", metadata=_bearer(slow))))
        assert await method(b"", metadata=_bearer(quick)) == b"bob"
        assert not waiting.done()
        release.set()
        assert await waiting == b"ann"


async def test_a_method_that_fails_leaves_nobody_behind() -> None:
    """The next call's method does not take its caller for the one before."""
    sessions, seen = FakeSessions(), []

    async def behaviour(request: bytes, _context: object) -> bytes:
        try:
            seen.append(current_identity().username)
        except NoIdentity:
            seen.append("nobody")
        if request:
            raise RuntimeError("as asked")
        return b""

    guard = AsyncSessionInterceptor(sessions.averify, public=["/t.T/Public"])
    async with serving(behaviour, guard) as channel:
        with pytest.raises(grpc.RpcError):
            await channel.unary_unary("/t.T/Guarded")(b"fail", metadata=_bearer(sessions.log_in("ann")))
        await channel.unary_unary("/t.T/Public")(b"")
    assert seen == ["ann", "nobody"]


async def test_a_stream_that_is_left_ends_its_method() -> None:
    """A generator in a guarded method is closed as it would be without the guard."""
    sessions, ended = FakeSessions(), []

    async def behaviour(_request: bytes, _context: object) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"more"
                await asyncio.sleep(0)
        finally:
            ended.append(current_identity().username)

    async with serving(behaviour, AsyncSessionInterceptor(sessions.averify)) as channel:
        stream = channel.unary_stream("/t.T/Guarded")(b"", metadata=_bearer(sessions.log_in("ann")))
        assert await stream.read() == b"more"
        stream.cancel()
        await eventually_async(lambda: ended)
    assert ended == ["ann"]


def _bearer(token: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token}")]


async def _awaited(call: Any) -> Any:
    return await call
