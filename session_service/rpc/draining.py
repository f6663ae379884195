"""Ending a server so that no call fails for it."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Final, Protocol

from session_service.rpc.health import Health
from session_service.rpc.traffic import Traffic

_SOON_SECONDS: Final = 0.5

log = logging.getLogger(__name__)


class Stoppable(Protocol):
    """The part of a server of either engine that ends it."""

    async def stop(self, grace: float | None) -> None:
        """Take no new calls, finish those in flight within the grace, in seconds, and end."""


class Drain:
    """Ends a server in order, once.

    A call that comes when gRPC has begun to stop is CANCELLED (grpc#41785), so that must not happen
    before balancers and clients that watch health have looked elsewhere.

    Args:
        server: the server.
        health: its health.
        traffic: its calls.
    """

    def __init__(self, server: Stoppable, health: Health, traffic: Traffic) -> None:
        self._server = server
        self._health = health
        self._traffic = traffic
        self._hurry = asyncio.Event()
        self._longest_delay = math.inf

    def soon(self) -> None:
        """Take calls for half a second more at most: somebody else is about to want the port."""
        self._longest_delay = _SOON_SECONDS

    def hurry(self) -> None:
        """Cut off what is still in flight: whoever waits has no patience left."""
        self._hurry.set()

    async def run(self, delay: float, grace: float) -> None:
        """Say so first, take no new calls once none come, finish those in flight.

        Args:
            delay: seconds in which calls are still taken, at most.
            grace: seconds that calls in flight have after that.
        """
        log.info("draining", extra={"grace": grace})
        await self._health.stop()
        in_order = asyncio.ensure_future(self._in_order(delay, grace))
        hurry = asyncio.ensure_future(self._hurry.wait())
        await asyncio.wait({in_order, hurry}, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not in_order.done():
            log.warning("calls in flight are cut off")
            in_order.cancel()
            await self._server.stop(None)

    async def _in_order(self, delay: float, grace: float) -> None:
        await self._traffic.quiet(min(delay, self._longest_delay))
        self._health.end_streams()
        await self._server.stop(grace)
