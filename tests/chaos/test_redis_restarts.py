"""Redis that goes away and comes back: with its data, without, slowly, or with other credentials."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import redis

from tests.support import LOOPBACK, RedisServer, eventually_async
from tests.support.in_process import ServiceUnderTest
from tests.support.outcomes import OK, Life, Outcomes, is_away, is_serving, outcome
from tests.support.workload import Workload

Serve: TypeAlias = Callable[..., Awaitable[ServiceUnderTest]]
StartRedis: TypeAlias = Callable[..., RedisServer]

NOTHING = Outcomes.all("STORE_UNAVAILABLE")
ON_DISK = {"appendonly": "yes", "appendfsync": "always"}
LIMIT = 3.0
PATIENCE = 20.0


async def test_what_an_empty_redis_does_not_know_has_ended(start_redis: StartRedis, serve: Serve) -> None:
    """After a restart without data every token is refused as ended, not as a fault, and logins go on."""
    server = start_redis()
    service = await serve(server)
    life = await Life.begin(service)
    server.stop()
    await eventually_async(lambda: is_away(service), timeout=PATIENCE)
    server.start()
    await eventually_async(lambda: is_serving(service), timeout=PATIENCE)
    assert await life.outcomes() == Outcomes(
        login="INVALID_CREDENTIALS",
        refresh="REFRESH_TOKEN_INVALID",
        verify="SESSION_ENDED",
        list="SESSION_ENDED",
        logout="SESSION_ENDED",
    )
    assert await (await Life.begin(service)).outcomes() == Outcomes()


async def test_what_was_acknowledged_outlives_a_crash(start_redis: StartRedis, serve: Serve) -> None:
    """Redis is killed at work: with its data on disk no session and no end that was acknowledged is lost."""
    server = start_redis(ON_DISK)
    service = await serve(server, session={"refresh_grace": 600})
    workload = Workload(service)
    for crash in (1, 2):
        await eventually_async(lambda: workload.outcomes[OK] > 100 * crash, timeout=PATIENCE)  # noqa: B023
        server.kill()
        await eventually_async(lambda: is_away(service), timeout=PATIENCE)
        server.start()
        await eventually_async(lambda: is_serving(service), timeout=PATIENCE)
    await workload.stop()
    assert workload.outcomes["STORE_UNAVAILABLE"]
    for token in workload.alive:
        await service.verify(token)
    for token in workload.ended:
        assert await outcome(service.verify(token)) == "SESSION_ENDED"


async def test_a_service_starts_before_its_redis(start_redis: StartRedis, serve: Serve) -> None:
    """With nobody there it starts as not serving, answers UNAVAILABLE, and recovers when Redis comes."""
    server = start_redis(ON_DISK)
    life = await Life.begin(await serve(server))
    server.kill()
    late = await serve(server)
    assert not await is_serving(late)
    life = life.through(late)
    assert await life.outcomes(LIMIT) == NOTHING
    server.start()
    await eventually_async(lambda: is_serving(late), timeout=PATIENCE)
    assert await life.outcomes() == Outcomes()


async def test_a_redis_that_loads_is_no_redis_yet(start_redis: StartRedis, serve: Serve) -> None:
    """While Redis reads its data back all calls are UNAVAILABLE; nobody is told that a session ended."""
    server = start_redis(ON_DISK)
    service = await serve(server)
    life = await Life.begin(service)
    with server.client() as client:
        fillers = client.pipeline(transaction=False)
        for number in range(15_000):
            fillers.set(f"filler:{number}", "x")
        fillers.execute()
    server.kill()
    # Longer than health takes to look again.
    server.config["key-load-delay"] = "200"
    server.launch()
    await eventually_async(lambda: _loads(server), timeout=PATIENCE)
    assert await life.outcomes(LIMIT) == NOTHING
    await eventually_async(lambda: is_away(service), timeout=PATIENCE)
    assert _loads(server)
    await eventually_async(lambda: is_serving(service), timeout=PATIENCE)
    assert await life.outcomes() == Outcomes()


async def test_the_wrong_password_is_a_fault_until_it_is_right(start_redis: StartRedis, serve: Serve) -> None:
    """A service that Redis does not let in says UNAVAILABLE, never that a caller's credentials are wrong."""
    server = start_redis()
    where = {"host": LOOPBACK, "port": server.port, "password": "right"}
    with server.client() as client:
        client.config_set("requirepass", "right")
        life = await Life.begin(await serve(where))
        client.config_set("requirepass", "other")
        late = await serve(where)
        assert not await is_serving(late)
        assert await life.through(late).outcomes(LIMIT) == NOTHING
        client.config_set("requirepass", "right")
        await eventually_async(lambda: is_serving(late), timeout=PATIENCE)
    assert await life.through(late).outcomes() == Outcomes()


async def test_nobody_notices_that_redis_forgot_its_scripts(start_redis: StartRedis, serve: Serve) -> None:
    """SCRIPT FLUSH in the middle of a life is invisible to callers."""
    server = start_redis()
    life = await Life.begin(await serve(server))
    with server.client() as client:
        client.script_flush()
    assert await life.outcomes() == Outcomes()


async def test_nobody_notices_that_redis_dropped_its_connections(
    start_redis: StartRedis, serve: Serve
) -> None:
    """CLIENT KILL, which an operator or a proxy may do at any time, costs who comes after it nothing.

    Both channels open again by themselves; changes go over a connection of their own until theirs has.
    """
    server = start_redis()
    service = await serve(server)
    life = await Life.begin(service)
    with server.client() as client:
        await eventually_async(lambda: _age_of_reads(client) > 1)
        client.execute_command("CLIENT KILL TYPE normal")
        await eventually_async(lambda: _age_of_reads(client) >= 0, timeout=PATIENCE)
    await eventually_async(lambda: is_serving(service), timeout=PATIENCE)
    assert await life.outcomes() == Outcomes()


def _age_of_reads(client: redis.Redis) -> int:
    """Seconds since the service opened its first connection; -1 if it has none."""
    ages = [int(each["age"]) for each in client.client_list() if each["name"] == "session-service"]
    return max(ages, default=-1)


def _loads(server: RedisServer) -> bool:
    with server.client() as client, contextlib.suppress(redis.ConnectionError):
        return bool(client.info("persistence")["loading"])
    return False
