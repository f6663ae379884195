"""Strict checks that share calls, with both clients against the whole service and real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from session_client import AsyncSessionClient, Identity, SessionClientError, SessionEnded

from tests.support import RedisServer, eventually_async
from tests.support.clients import OpenClient, open_async_client, open_sync_client
from tests.support.in_process import ServiceUnderTest, in_process
from tests.support.outcomes import is_away

pytestmark = pytest.mark.usefixtures("engine")

AT_ONCE = 64


@pytest.fixture(params=["async", "sync"])
async def open_client(request: pytest.FixtureRequest) -> AsyncIterator[OpenClient]:
    """Opens a client, asynchronous and then synchronous, whose checks each have a thread."""
    with ThreadPoolExecutor(2 * AT_ONCE) as pool:
        asyncio.get_running_loop().set_default_executor(pool)
        yield open_async_client if request.param == "async" else open_sync_client


def told(outcome: Identity | BaseException) -> Any:
    """All that a caller can learn from it."""
    if isinstance(outcome, SessionClientError):
        waits = getattr(outcome, "retry_after", None)
        return type(outcome), outcome.code, outcome.reason, dict(outcome.metadata), str(outcome), waits
    return outcome


async def at_once(client: AsyncSessionClient, tokens: list[str]) -> list[Any]:
    """What becomes of checks that are all begun at once."""
    checks = (client.verify_token(token) for token in tokens)
    return [told(outcome) for outcome in await asyncio.gather(*checks, return_exceptions=True)]


def calls(service: ServiceUnderTest, method: str) -> float:
    """How many calls of a method the service has answered, whatever it said."""
    labels = {"method": f"session.v1.SessionService/{method}"}
    return sum(
        sample.value
        for family in service.registry.collect()
        for sample in family.samples
        if sample.name == "session_rpc_duration_seconds_count" and labels.items() <= sample.labels.items()
    )


async def test_each_is_told_what_a_call_of_its_own_tells(
    open_client: OpenClient, service: ServiceUnderTest
) -> None:
    """Live, ended, forged, of the wrong kind, none at all: results and exceptions are the same in all."""
    opened = [await service.open_session(f"u-{number}", roles=["editor"]) for number in range(6)]
    await service.logout(opened[0].access_token)
    tokens = [each.access_token for each in opened]
    tokens += [tokens[1], opened[2].refresh_token, tokens[3][:-4] + "AAAA", "", "nonsense", "a b"]
    async with open_client(service.address, share_calls=False) as client:
        expected = await at_once(client, tokens)
    before = calls(service, "BatchVerifyTokens")
    async with open_client(service.address) as client:
        for _ in range(5):
            assert await at_once(client, tokens) == expected
    assert calls(service, "BatchVerifyTokens") > before


async def test_busy_callers_make_few_calls(open_client: OpenClient, service: ServiceUnderTest) -> None:
    """Of many checks under way at once, the service answers a fraction as calls."""
    tokens = [(await service.open_session(f"u-{number}")).access_token for number in range(AT_ONCE)]
    before = calls(service, "VerifyToken")
    async with open_client(service.address) as client:
        for _ in range(10):
            assert all(isinstance(each, Identity) for each in await at_once(client, tokens))
    made = calls(service, "VerifyToken") - before + calls(service, "BatchVerifyTokens")
    assert made < 10 * AT_ONCE / 2


async def test_a_logout_counts_at_once(open_client: OpenClient, service: ServiceUnderTest) -> None:
    """A check that begins after an acknowledged end knows of it, however many others are under way."""
    tokens = [(await service.open_session(f"u-{number}")).access_token for number in range(20)]
    over = asyncio.Event()
    async with open_client(service.address) as client:

        async def keep_checking(token: str) -> None:
            while not over.is_set():
                await asyncio.gather(client.verify_token(token), return_exceptions=True)

        busy = [asyncio.create_task(keep_checking(token)) for token in tokens for _ in range(2)]
        for token in tokens:
            await service.logout(token)
            outcomes = await asyncio.gather(
                *(client.verify_token(token) for _ in range(4)), return_exceptions=True
            )
            assert [type(each) for each in outcomes] == [SessionEnded] * 4
        over.set()
        await asyncio.gather(*busy)


async def test_without_redis_nothing_is_known(
    open_client: OpenClient, start_redis: Callable[..., RedisServer], tmp_path: Path
) -> None:
    """Unavailable for each, with the time to wait, as of a call of its own; and a bad token is still bad."""
    server = start_redis()
    async with in_process({"host": "127.0.0.1", "port": server.port}, tmp_path) as service:
        tokens = [(await service.open_session(f"u-{number}")).access_token for number in range(5)]
        server.kill()
        await eventually_async(lambda: is_away(service), timeout=20)
        tokens.append("nonsense")
        async with open_client(service.address, share_calls=False) as client:
            expected = await at_once(client, tokens)
        async with open_client(service.address) as client:
            assert await at_once(client, tokens) == expected
