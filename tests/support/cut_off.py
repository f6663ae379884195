"""Calls whose caller hangs up, or runs out of time, at many points between their start and their end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import grpc
import redis
from session_api.v1 import admin_service_pb2 as admin_pb

from session_service.domain.policy import new_id
from session_service.domain.wholeness import all_whole
from tests.support.outcomes import OK, outcome
from tests.support.redis_contents import events, indexed_sessions, live_sessions
from tests.support.service_client import ServiceClient
from tests.support.waiting import eventually_async

How: TypeAlias = Literal["hangs up", "runs out of time"]
Call: TypeAlias = Callable[[float | None], Any]
"""Starts a call of a stub; the argument is its deadline in seconds."""

_AT_ONCE = 16  # so that a call takes many milliseconds: gRPC rounds a deadline up to the next one
_WHOLE = 3
_QUIET_SECONDS = 0.5


async def cut_off(calls: Sequence[Call], how: How) -> int:
    """Make the calls, each cut off a little later than the one before it; how many were cut off.

    The first ones are not: the quickest of them shows how long a call takes, and the others are spread over
    twice that.
    """
    span = 2 * _AT_ONCE * min([await _time_of(call) for call in calls[:_WHOLE]])
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(call: Call, after: float) -> bool:
        async with gate:
            return await _cut(call, after, how)

    cuts = (one(call, span * place / len(calls)) for place, call in enumerate(calls[_WHOLE:]))
    return sum(await asyncio.gather(*cuts))


async def _time_of(call: Call) -> float:
    started = time.perf_counter()
    await call(None)
    return time.perf_counter() - started


async def settle(service: ServiceClient, store: redis.Redis) -> None:
    """Wait until all that was begun has ended and is in the audit trail; the index must be right then."""
    await all_whole()
    await _no_more_changes(store)
    marker = admin_pb.RevokeUserSessionsRequest(user_id=f"marker-{new_id()}")
    assert await outcome(service.admin_stub.RevokeUserSessions(marker, metadata=service.admin)) == OK
    await eventually_async(
        lambda: marker.user_id in {each.get("user_id") for each in events(store)}, timeout=20
    )
    assert indexed_sessions(store) == live_sessions(store)


async def _no_more_changes(store: redis.Redis) -> None:
    """Return when no script has run for a while: nothing else shows what another process has begun."""
    seen, since = -1, time.monotonic()

    def quiet() -> bool:
        nonlocal seen, since
        count = int(store.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0))
        if count != seen:
            seen, since = count, time.monotonic()
        return time.monotonic() - since > _QUIET_SECONDS

    await eventually_async(quiet, timeout=20)


def told(store: redis.Redis, action: str, field: str) -> list[str]:
    """What the events of an action say in a field."""
    return sorted(event[field] for event in events(store) if event["action"] == action)


async def _cut(call: Call, after: float, how: How) -> bool:
    under_way = call(after if how == "runs out of time" else None)
    if how == "hangs up":
        asyncio.get_running_loop().call_later(after, under_way.cancel)
    try:
        await under_way
    except asyncio.CancelledError:
        return True
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
            raise
        return True
    return False
