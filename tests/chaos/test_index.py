"""I8: each session has its index entry always, each entry its session after one sweep at most."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import redis
from session_api.v1 import admin_service_pb2 as admin_pb

from session_service.storage import keys
from tests.support import eventually_async
from tests.support.in_process import ServiceUnderTest
from tests.support.outcomes import outcome
from tests.support.redis_contents import indexed_sessions, live_sessions

ServeTwo: TypeAlias = Callable[..., Awaitable[tuple[ServiceUnderTest, ServiceUnderTest]]]
SESSIONS = 120


async def test_one_sweep_makes_the_index_exact(serve_two: ServeTwo, store: redis.Redis) -> None:
    """After a wild life, with sessions lost behind the service's back, one sweep leaves just the living."""
    services = await serve_two(session={"max_sessions": 8})
    # One sweeps at its start: only one can at a time.
    await eventually_async(lambda: _was_swept(store))
    await asyncio.gather(*(_live(services[number % 2], number) for number in range(SESSIONS)))
    _lose_some(store)
    dead = indexed_sessions(store) - live_sessions(store)
    assert dead
    assert live_sessions(store) < indexed_sessions(store)
    cleaning = services[0].admin_stub.CleanUpSessions
    answer = await cleaning(admin_pb.CleanUpSessionsRequest(), metadata=services[0].admin)
    assert answer.removed_entries == len(dead)
    assert indexed_sessions(store) == live_sessions(store)
    stats = services[1].admin_stub.GetStats
    told = await stats(admin_pb.GetStatsRequest(), metadata=services[1].admin)
    assert told.active_sessions == len(live_sessions(store))


async def test_the_index_becomes_exact_by_itself(serve_two: ServeTwo, store: redis.Redis) -> None:
    """Nobody has to ask: the services sweep now and then, and two of them do no more harm than one."""
    services = await serve_two(sweep={"interval": 0.1})
    await asyncio.gather(*(_live(services[number % 2], number) for number in range(SESSIONS)))
    _lose_some(store)
    await eventually_async(lambda: indexed_sessions(store) == live_sessions(store), timeout=20)
    assert live_sessions(store)


async def _live(service: ServiceUnderTest, number: int) -> None:
    """One session's life, which may end, be evicted, be cut short, or go on."""
    opened = await service.open_session(f"u-{number % 9}")
    await outcome(service.refresh(opened.refresh_token))
    if number % 3 == 0:
        await outcome(service.logout(opened.access_token))
    if number % 5 == 0:
        abandoned = asyncio.ensure_future(service.open_session(f"u-{number % 9}"))
        asyncio.get_running_loop().call_soon(abandoned.cancel)
        await asyncio.wait({abandoned})


def _was_swept(store: Any) -> bool:
    """Whether a sweep has counted, and none goes on."""
    return bool(store.hexists(keys.AUDIT_COUNTERS, "counted_at") and not store.exists(keys.SWEEP_LOCK))


def _lose_some(store: Any) -> None:
    """Delete a third of the sessions as an eviction by Redis would."""
    for user_id, session_id in sorted(live_sessions(store))[::3]:
        store.delete(keys.session(user_id, session_id))
