"""A server of gRPC and one of plain HTTP as one server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import grpc

from session_service.engines.http_server import HttpServer


class SideBySide:
    """Starts and stops both together.

    Args:
        calls: carries gRPC.
        http: carries plain HTTP.
    """

    def __init__(self, calls: grpc.aio.Server, http: HttpServer) -> None:
        self._calls = calls
        self._http = http

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Take handlers that look methods up by name."""
        self._calls.add_generic_rpc_handlers(tuple(generic_rpc_handlers))

    async def start(self) -> None:
        """Serve; returns when both do."""
        await self._calls.start()
        await self._http.start()

    async def wait_for_termination(self, timeout: float | None = None) -> bool:
        """Return when gRPC's has ended, or ``True`` after so many seconds; raise what ended it unasked."""
        return await self._calls.wait_for_termination(timeout)

    async def stop(self, grace: float | None) -> None:
        """Take no new calls, finish those in flight within the grace, in seconds, and end."""
        await asyncio.gather(self._calls.stop(grace), self._http.stop(grace))
