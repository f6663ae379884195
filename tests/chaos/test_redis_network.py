"""A network between the service and Redis that is slow, silent or torn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import pytest
import redis
from session_api.v1 import admin_service_pb2 as admin_pb

from tests.support import LOOPBACK, RedisServer, eventually_async
from tests.support.in_process import ServiceUnderTest
from tests.support.outcomes import OK, Life, Outcomes, is_away, is_serving, outcome
from tests.support.proxy import TcpProxy
from tests.support.redis_contents import indexed_sessions, live_sessions
from tests.support.workload import Workload

Serve: TypeAlias = Callable[..., Awaitable[ServiceUnderTest]]
UNAVAILABLE = "STORE_UNAVAILABLE"
LIMIT = 3.0
PATIENCE = 20.0


@pytest.fixture
async def proxy(one_redis: RedisServer) -> AsyncIterator[TcpProxy]:
    """The network before `one_redis`."""
    async with TcpProxy(one_redis.port) as proxy:
        yield proxy


@pytest.mark.parametrize("delay", [0.0, 5.0], ids=["silent", "too slow"])
async def test_a_wire_that_carries_nothing_back_is_let_go(
    proxy: TcpProxy, serve: Serve, delay: float
) -> None:
    """Half-open or very slow: UNAVAILABLE in time, the loop goes on, and new connections find the way."""
    service = await serve({"host": LOOPBACK, "port": proxy.port}, session={"refresh_grace": 600})
    life = await Life.begin(service)
    # Of those that are tried meanwhile the last may carry on when all is well again.
    opened = proxy.connections
    proxy.delay, proxy.swallow_replies = delay, not delay
    answers = asyncio.create_task(life.outcomes(LIMIT))
    await eventually_async(lambda: is_away(service), timeout=PATIENCE)
    assert await answers == Outcomes.all(UNAVAILABLE)
    proxy.delay, proxy.swallow_replies = 0.0, False
    await eventually_async(lambda: is_serving(service), timeout=PATIENCE)
    assert proxy.connections > opened
    assert await life.outcomes() in {Outcomes(), Outcomes(logout="SESSION_ENDED")}


async def test_a_slow_wire_is_slow_and_nothing_else(proxy: TcpProxy, serve: Serve) -> None:
    """With an answer in time every call succeeds, and the checks of many share the wire."""
    service = await serve(
        {"host": LOOPBACK, "port": proxy.port, "connect_timeout": 10, "command_timeout": 10}
    )
    life = await Life.begin(service)
    proxy.delay = 0.05
    checks = [outcome(service.verify(life.stays.access_token)) for _ in range(100)]
    assert await life.outcomes() == Outcomes()
    assert set(await asyncio.gather(*checks)) == {OK}


async def test_what_was_acknowledged_on_a_torn_wire_holds(
    proxy: TcpProxy, serve: Serve, store: redis.Redis
) -> None:
    """Connections break again and again: a call is done or UNAVAILABLE, and what was done stays done."""
    service = await serve({"host": LOOPBACK, "port": proxy.port}, session={"refresh_grace": 600})
    workload = Workload(service)
    for tear in range(1, 9):
        await eventually_async(lambda: workload.outcomes[OK] > 20 * tear, timeout=PATIENCE)  # noqa: B023
        proxy.cut()
    await workload.stop()
    assert workload.outcomes["STORE_UNAVAILABLE"]
    request = admin_pb.CleanUpSessionsRequest()
    await service.admin_stub.CleanUpSessions(request, metadata=service.admin)
    assert len(live_sessions(store)) == len(workload.alive)
    assert indexed_sessions(store) == live_sessions(store)
    for token in workload.alive:
        await service.verify(token)
    for token in workload.ended:
        assert await outcome(service.verify(token)) == "SESSION_ENDED"
