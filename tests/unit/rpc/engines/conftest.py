"""The engine with methods of every shape mounted, without an Envoy around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from session_service.rpc.engines.envoy import EnvoyServer
from session_service.rpc.engines.envoy_admin import EnvoyAdmin
from session_service.rpc.limits import Limits
from tests.support.asgi import Request

LIMITS = Limits(
    max_concurrent_rpcs=1,
    max_concurrent_streams=100,
    max_message_bytes=1000,
    max_metadata_bytes=500,
    max_connection_age=600,
    max_connection_age_grace=60,
    handshake_timeout=5,
)


class LiveAdmin(EnvoyAdmin):
    """An Envoy that is always ready, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(Path("/none"))
        self.asked: list[str] = []

    async def _ok(self, method: str, path: str) -> bool:
        self.asked.append(f"{method} {path}")
        return True


class Served:
    """The engine, and what happens in it.

    Methods are added by name; calls run as tasks, as in Envoy.
    """

    def __init__(self) -> None:
        self.admin = LiveAdmin()
        self.engine = EnvoyServer(LIMITS, self.admin)
        self.ended: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []

    def unary(self, name: str, behaviour: Callable[..., Awaitable[Any]]) -> None:
        """Serve a method of one message for one."""
        self._add(name, grpc.unary_unary_rpc_method_handler(behaviour))

    def server_stream(self, name: str, behaviour: Any) -> None:
        """Serve a method of many messages for one."""
        self._add(name, grpc.unary_stream_rpc_method_handler(behaviour))

    def bidi(self, name: str, behaviour: Any) -> None:
        """Serve a method of many messages for many."""
        self._add(name, grpc.stream_stream_rpc_method_handler(behaviour))

    async def call(self, request: Request) -> Request:
        """Have a request answered."""
        await asyncio.wait_for(self.begin(request), 10)
        return request

    def begin(self, request: Request) -> asyncio.Task[None]:
        """Have a request answered, later."""
        task = asyncio.ensure_future(self._run(request))
        self._tasks.append(task)
        return task

    async def close(self) -> None:
        """End what is left."""
        await self.engine.stop(None)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, request: Request) -> None:
        await self.engine(request.scope, request.receive, request.send)

    def _add(self, name: str, handler: Any) -> None:
        self.engine.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", {name: handler}),))


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """An engine that has begun, without methods."""
    served = Served()
    await served.engine.start()
    yield served
    await served.close()
