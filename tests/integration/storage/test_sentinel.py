"""Sentinel: after a failover changes and reads find the new primary by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from redis.exceptions import RedisError, ResponseError

from session_service.domain.errors import StoreUnavailable
from session_service.storage.connections import RedisConnections
from session_service.storage.faults import store_faults
from session_service.storage.settings import RedisSentinel as SentinelSettings
from session_service.storage.settings import RedisSettings
from tests.integration.storage.conftest import Connect
from tests.support import LOOPBACK, RedisBinary, RedisServer, eventually_async
from tests.support.redis_sentinel import RedisSentinel


@pytest.fixture
def redis_sentinel(redis_binary: RedisBinary) -> Iterator[RedisSentinel]:
    """A primary with a replica under a Sentinel, of the test's own."""
    with RedisSentinel(redis_binary) as sentinel:
        yield sentinel


@pytest.fixture
async def connections(redis_sentinel: RedisSentinel, connect: Connect) -> RedisConnections:
    """Connections that know the Sentinel only; of two that are listed one is dead."""
    nodes = ((LOOPBACK, 1), redis_sentinel.address)
    settings = RedisSettings(
        sentinel=SentinelSettings(redis_sentinel.service_name, nodes),
        connect_timeout=1.0,
        command_timeout=0.5,
    )
    return await connect(settings)


async def _changes(connections: RedisConnections, value: str) -> bool:
    try:
        with store_faults():
            await connections.client.set("key", value)
    except StoreUnavailable:
        return False
    return True


async def test_a_failover_is_a_short_unavailability(
    redis_sentinel: RedisSentinel, connections: RedisConnections
) -> None:
    """When the primary dies, both ways are unavailable until there is another, and nothing else fails."""
    assert await _changes(connections, "before")
    assert await connections.reads.read("key", ("GET", "key")) == [b"before"]
    # Replication is asynchronous: what the replica does not have yet is lost with the primary.
    await eventually_async(lambda: _has(redis_sentinel.second, b"before"), timeout=10)
    failing_over = asyncio.create_task(asyncio.to_thread(redis_sentinel.fail_over))
    answers: set[object] = set()
    while not failing_over.done():
        try:
            answers.add((await connections.reads.read("key", ("GET", "key")))[0])
        except StoreUnavailable:
            answers.add("unavailable")
        await asyncio.wait([failing_over], timeout=0.02)
    new = await failing_over
    # The primary may be dead before the first read.
    assert answers | {b"before"} == {b"before", "unavailable"}
    await eventually_async(lambda: _serves(connections, new, "after"), timeout=10)


async def test_a_planned_failover_leaves_the_old_primary(
    redis_sentinel: RedisSentinel, connections: RedisConnections
) -> None:
    """When Sentinel moves the primary while all live on, the old one, a replica now, is left by both ways."""
    assert await _changes(connections, "before")
    old = redis_sentinel.primary
    await eventually_async(lambda: _asked_to_fail_over(redis_sentinel), timeout=20)
    await eventually_async(lambda: redis_sentinel.primary is not old, timeout=20)
    await eventually_async(lambda: _serves(connections, redis_sentinel.primary, "after"), timeout=10)


async def _serves(connections: RedisConnections, primary: RedisServer, value: str) -> bool:
    """Whether a change arrives at this primary and is read back.

    Tried again until it does: for a moment after Sentinel has named another, the old primary still accepts
    changes, which are lost, and then every connection to it is cut.
    """
    changed = await _changes(connections, value) and _has(primary, value.encode())
    return changed and await connections.ping() and await _reads(connections, value.encode())


def _has(node: RedisServer, value: bytes) -> bool:
    try:
        with node.client() as client:
            return bool(client.get("key") == value)
    except RedisError:  # Sentinel gives it another role just now
        return False


def _asked_to_fail_over(redis_sentinel: RedisSentinel) -> bool:
    with redis_sentinel.sentinel.client() as client:
        try:
            client.execute_command("SENTINEL FAILOVER", redis_sentinel.service_name)
        except ResponseError:  # it has not heard from the replica lately
            return False
    return True


async def test_an_isolated_primary_is_left_when_sentinel_names_another(
    redis_sentinel: RedisSentinel, connections: RedisConnections
) -> None:
    """A primary that was replaced and does not know it is read from no longer than about a second."""
    assert await _changes(connections, "old")
    name, isolated, new = redis_sentinel.service_name, redis_sentinel.first, redis_sentinel.second
    with redis_sentinel.sentinel.client() as sentinel, new.client() as client:
        client.replicaof("NO", "ONE")
        sentinel.execute_command("SENTINEL REMOVE", name)
        sentinel.execute_command("SENTINEL MONITOR", name, LOOPBACK, new.port, 1)
        client.set("key", "new")
    with isolated.client() as client:
        assert (client.get("key"), client.info("replication")["role"]) == (b"old", "master")
    await eventually_async(lambda: _reads(connections, b"new"), timeout=5)
    await eventually_async(lambda: _serves(connections, new, "newer"), timeout=5)


async def _reads(connections: RedisConnections, value: bytes) -> bool:
    try:
        return await connections.reads.read("key", ("GET", "key")) == [value]
    except StoreUnavailable:
        return False


async def test_without_a_sentinel_what_is_open_goes_on(
    redis_sentinel: RedisSentinel, connections: RedisConnections
) -> None:
    """Sentinels that are away do not take a healthy primary away."""
    assert await _changes(connections, "value")
    redis_sentinel.sentinel.kill()
    channel = connections._target._reading  # type: ignore[union-attr]
    link = channel._link
    assert link is not None
    await asyncio.wait([link.lost], timeout=1.5)
    assert not link.lost.done()
    assert await connections.reads.read("key", ("GET", "key")) == [b"value"]
    assert await _changes(connections, "other")


async def test_an_unknown_service_is_unavailable(redis_sentinel: RedisSentinel, connect: Connect) -> None:
    """A name that no Sentinel knows is unavailable, and says so in the log."""
    wrong = RedisSettings(sentinel=SentinelSettings("nobody", (redis_sentinel.address,)))
    connections = await connect(wrong)
    assert not await connections.ping()
    assert not await _changes(connections, "value")
