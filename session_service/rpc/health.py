"""The standard health service (``grpc.health.v1``), following Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio


class Health:
    """The health of each service and of the server as a whole (``""``): all follow Redis.

    Args:
        services: full names of the services.
        ending: set by ``end_streams``.
    """

    def __init__(self, services: Sequence[str], ending: asyncio.Event) -> None:
        self.servicer = _EndingHealthServicer(ending)
        self._ending = ending
        self._services = ("", *services)
        self._serving: bool | None = None
        self._stopped = False

    async def follow(self, healthy: bool) -> bool:
        """Report whether the store answers; returns whether that is news."""
        news = healthy is not self._serving
        self._serving = healthy
        if news:
            answer = health_pb2.HealthCheckResponse
            status = answer.SERVING if healthy else answer.NOT_SERVING
            for service in self._services:
                await self.servicer.set(service, status)
        return news

    @property
    def serving(self) -> bool:
        """Whether SERVING is what is reported of the server as a whole."""
        return bool(self._serving) and not self._stopped

    async def stop(self) -> None:
        """Report NOT_SERVING from here on: the server is about to stop."""
        self._stopped = True
        await self.servicer.enter_graceful_shutdown()

    def end_streams(self) -> None:
        """End every stream: one without an end would hold up a stop for its whole grace."""
        self._ending.set()


class _EndingHealthServicer(health_aio.HealthServicer):
    """The library's own, whose Watch streams end when ``ending`` is set."""

    def __init__(self, ending: asyncio.Event) -> None:
        super().__init__()
        self._ending = ending

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Any) -> None:  # noqa: ANN401, N802
        """Tell a service's status, and each change of it."""
        watch = asyncio.ensure_future(super().Watch(request, context))
        ending = asyncio.ensure_future(self._ending.wait())
        try:
            await asyncio.wait({watch, ending}, return_when=asyncio.FIRST_COMPLETED)
            if watch.done():
                watch.result()
        finally:
            watch.cancel()
            ending.cancel()
