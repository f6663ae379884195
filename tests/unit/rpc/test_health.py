"""Health as plain HTTP asks for it."""

from __future__ import annotations

import asyncio

from session_service.rpc.health import Health


async def test_serving_is_what_is_reported() -> None:
    """Not before it is known, while the store answers, and no more once a stop has begun."""
    health = Health(("a.B",), asyncio.Event())
    found = [health.serving]
    for healthy in (True, False, True):
        await health.follow(healthy)
        found.append(health.serving)
    await health.stop()
    assert [*found, health.serving] == [False, True, False, True, False]
