"""A server that is ended: what it waits for, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from session_service.rpc.draining import Drain
from session_service.rpc.health import Health
from session_service.rpc.traffic import Traffic

LONG = 3600.0


class Server:
    """Remembers the grace that it was stopped with."""

    def __init__(self) -> None:
        self.stopped: list[float | None] = []

    async def stop(self, grace: float | None) -> None:
        """Stop."""
        self.stopped.append(grace)


class Nobody:
    """Observes nothing."""

    def call_ended(self, method: str, reason: str, seconds: float) -> None:
        """Ignore it."""

    def calls_ended(self, method: str, reason: str, seconds: float, count: int) -> None:
        """Ignore them."""


@pytest.fixture
async def busy() -> AsyncIterator[Traffic]:
    """Traffic that never rests."""
    traffic = Traffic(Nobody())

    async def go_on() -> None:
        while True:
            traffic.call_ended("m", "OK", 0.0)
            await asyncio.sleep(0)

    going = asyncio.create_task(go_on())
    yield traffic
    going.cancel()


async def test_who_is_about_to_lose_the_port_waits_half_a_second_at_most(busy: Traffic) -> None:
    """However much comes, and however long the delay would be; what is in flight has its whole grace."""
    server = Server()
    drain = Drain(server, Health((), asyncio.Event()), busy)
    drain.soon()
    await asyncio.wait_for(drain.run(LONG, 7.0), 30)
    assert server.stopped == [7.0]


async def test_the_delay_is_kept_otherwise(busy: Traffic) -> None:
    """While calls come and the delay lasts, none is turned away."""
    server = Server()
    drain = Drain(server, Health((), asyncio.Event()), busy)
    running = asyncio.create_task(drain.run(LONG, 7.0))
    await asyncio.wait({running}, timeout=1.0)
    assert server.stopped == []
    drain.hurry()
    await asyncio.wait_for(running, 30)
    assert server.stopped == [None]
