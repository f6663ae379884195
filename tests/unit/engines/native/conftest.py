"""The native engine with methods of every shape mounted, over a stand-in for its Rust half."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest

from session_service.engines.native.server import NativeServer
from session_service.rpc.boundary import MethodHandlers
from session_service.rpc.http.app import HttpApp
from session_service.rpc.http.cors import Cors
from session_service.rpc.limits import Limits
from tests.support.native_engine import FakeCall, FakeEngine

LIMITS = Limits(
    max_concurrent_rpcs=100,
    max_concurrent_streams=100,
    max_message_bytes=1000,
    max_metadata_bytes=500,
    max_connection_age=600,
    max_connection_age_grace=60,
    handshake_timeout=5,
)


class Served:
    """The server, and the stand-in under it. Methods are added by name, before it starts."""

    def __init__(self) -> None:
        self.fake: FakeEngine
        self.http = HttpApp(LIMITS, Cors((), ()), lambda: True)
        self.server = NativeServer(self._make, LIMITS, lambda _: None, self.http)

    def unary(self, name: str, behaviour: Callable[..., Awaitable[Any]]) -> None:
        """Serve a method of one message for one."""
        self._add(name, grpc.unary_unary_rpc_method_handler(behaviour))

    def server_stream(self, name: str, behaviour: Any) -> None:
        """Serve a method of many messages for one."""
        self._add(name, grpc.unary_stream_rpc_method_handler(behaviour))

    def client_stream(self, name: str, behaviour: Any) -> None:
        """Serve a method of one message for many."""
        self._add(name, grpc.stream_unary_rpc_method_handler(behaviour))

    def bidi(self, name: str, behaviour: Any) -> None:
        """Serve a method of many messages for many."""
        self._add(name, grpc.stream_stream_rpc_method_handler(behaviour))

    async def call(self, name: str, message: bytes = b"", **more: Any) -> FakeCall:
        """Have a call answered."""
        return await self.fake.send(f"/t.T/{name}", message, **more).end()

    async def start(self) -> FakeEngine:
        """Begin to serve."""
        await self.server.start()
        return self.fake

    def _make(self, **settings: Any) -> Any:
        self.fake = FakeEngine(**settings)
        return self.fake

    def _add(self, name: str, handler: Any) -> None:
        handlers = (MethodHandlers({f"/t.T/{name}": handler}),)
        self.server.add_generic_rpc_handlers(handlers)
        self.http.add_generic_rpc_handlers(handlers)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """A server that has not begun."""
    served = Served()
    yield served
    if hasattr(served, "fake") and not served.fake.down:
        await served.server.stop(None)
