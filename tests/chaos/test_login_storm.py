"""A storm of logins: what does not fit is shed at once, and checks go on as if nothing were."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import grpc

from tests.support import RedisServer, eventually_async
from tests.support.errors import fails
from tests.support.in_process import ServiceUnderTest, patient_with
from tests.support.outcomes import OK, outcome

Serve: TypeAlias = Callable[..., Awaitable[ServiceUnderTest]]
NO_LIMIT: dict[str, int] = dict.fromkeys(("per_account_and_address", "per_address", "per_account"), 10**6)
QUEUE = 60
CHECKS = 100


async def test_checks_go_on_through_a_storm_of_logins(one_redis: RedisServer, serve: Serve) -> None:
    """With over fifty logins in flight every check succeeds; a login more is OVERLOADED, and told when."""
    service = await serve(
        patient_with(one_redis), throttling=NO_LIMIT, passwords={"hashing_threads": 1, "hashing_queue": QUEUE}
    )
    await service.add_user()
    checked = await service.open_session()
    outcomes: list[str] = []
    storm = [asyncio.create_task(_log_in_again(service, outcomes)) for _ in range(QUEUE + 10)]
    await eventually_async(lambda: _in_flight(service) == QUEUE + 1, timeout=20)
    with fails(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED") as shed:
        await _log_in_for_ever(service)
    assert shed.retry_seconds
    checks = [outcome(service.verify(checked.access_token)) for _ in range(CHECKS)]
    assert set(await asyncio.gather(*checks)) == {OK}
    assert _in_flight(service) > 1
    for logins in storm:
        logins.cancel()
    await asyncio.wait(storm)
    assert set(outcomes) <= {OK, "OVERLOADED"}
    await eventually_async(lambda: _in_flight(service) == 0, timeout=20)
    await service.login()


async def _log_in_again(service: ServiceUnderTest, outcomes: list[str]) -> None:
    """Log in whenever there is room, so that there is none."""
    while True:
        outcomes.append(await outcome(service.login()))
        await eventually_async(lambda: _in_flight(service) <= QUEUE, timeout=20)


async def _log_in_for_ever(service: ServiceUnderTest) -> None:
    while True:
        await service.login()


def _in_flight(service: ServiceUnderTest) -> float:
    return service.registry.get_sample_value("session_hashing_depth") or 0
