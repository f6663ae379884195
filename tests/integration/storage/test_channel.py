"""Channel: reads fail fast while Redis is away and go on by themselves when it is back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable

import pytest

from session_service.domain.errors import StoreUnavailable
from session_service.storage.connections import RedisConnections
from session_service.storage.settings import RedisSettings
from tests.integration.storage.conftest import Connect
from tests.support import LOOPBACK, RedisServer, eventually_async
from tests.support.proxy import TcpProxy

COMMAND_TIMEOUT = 0.3


def settings(port: int) -> RedisSettings:
    """Where the server of the test is."""
    return RedisSettings(host=LOOPBACK, port=port, command_timeout=COMMAND_TIMEOUT)


@pytest.fixture
def server(start_redis: Callable[..., RedisServer]) -> RedisServer:
    """A server to break."""
    return start_redis()


@pytest.fixture
async def connections(server: RedisServer, connect: Connect) -> RedisConnections:
    """Connections to that server."""
    return await connect(settings(server.port))


@pytest.fixture
async def proxy(server: RedisServer) -> AsyncIterator[TcpProxy]:
    """A proxy before that server."""
    async with TcpProxy(server.port) as proxy:
        yield proxy


async def fails_at(connections: RedisConnections) -> float:
    """Seconds that a failing read took."""
    started = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await connections.reads.read("key", ("GET", "key"))
    return time.monotonic() - started


async def test_a_killed_redis_is_unavailable_at_once_and_until_it_is_back(
    server: RedisServer, connections: RedisConnections
) -> None:
    """Reads fail within a gateway's patience while Redis is dead, and go on by themselves afterwards."""
    assert await connections.ping()
    server.kill()
    assert await fails_at(connections) < 0.2
    assert [await fails_at(connections) < 0.2 for _ in range(20)] == [True] * 20
    assert not await connections.ping()
    server.start()
    await eventually_async(connections.ping)
    assert await connections.reads.read("key", ("GET", "key")) == [None]


async def test_a_restarted_empty_redis_answers_that_nothing_is_there(
    server: RedisServer, connections: RedisConnections
) -> None:
    """After a restart without its data Redis is believed: keys are absent, not unavailable."""
    await connections.client.set("key", "value")
    assert await connections.reads.read("key", ("GET", "key")) == [b"value"]
    server.restart()
    await eventually_async(connections.ping)
    assert await connections.reads.read("key", ("GET", "key")) == [None]


async def test_redis_may_come_after_the_service(server: RedisServer, connect: Connect) -> None:
    """Opening without a Redis succeeds; reads are unavailable until it is there."""
    server.kill()
    connections = await connect(settings(server.port))
    await fails_at(connections)
    server.start()
    await eventually_async(connections.ping)


async def test_a_connection_that_redis_closes_is_opened_again(
    server: RedisServer, connections: RedisConnections
) -> None:
    """After CLIENT KILL the next read waits the moment that connecting takes, and does not fail."""
    link = connections._target._reading._link  # type: ignore[union-attr]
    assert link is not None
    # A connection that is lost within its first second is opened again after a pause only.
    young = time.monotonic() + 1.1
    await eventually_async(lambda: time.monotonic() > young)
    with server.client() as operator:
        operator.execute_command("CLIENT KILL TYPE normal SKIPME yes")
    await link.lost
    for _ in range(100):
        assert await connections.reads.read("key", ("GET", "key")) == [None]


async def test_reads_go_on_while_redis_holds_up_who_writes(
    server: RedisServer, connections: RedisConnections
) -> None:
    """CLIENT PAUSE WRITE, as in a planned failover: changes wait on a connection of their own."""
    assert connections.changes is not None
    with server.client() as operator:
        operator.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
        change = asyncio.ensure_future(connections.changes.read("key", ("SET", "key", "value")))
        for _ in range(20):
            assert await connections.reads.read("key", ("GET", "key")) == [None]
        assert not change.done()
        operator.execute_command("CLIENT", "UNPAUSE")
    assert await change == [b"OK"]


async def test_a_frozen_redis_is_unavailable_in_time_and_recovers(
    server: RedisServer, connections: RedisConnections
) -> None:
    """SIGSTOP: the read in flight fails at its time-out, later ones sooner; SIGCONT brings Redis back."""
    assert await connections.ping()
    server.pause()
    assert await fails_at(connections) < COMMAND_TIMEOUT + 0.2
    assert await fails_at(connections) < 0.2
    server.resume()
    await eventually_async(connections.ping)


async def test_a_half_open_connection_is_found_out(proxy: TcpProxy, connect: Connect) -> None:
    """A connection on which nothing comes back is dropped though nobody reads, and opened anew."""
    connections = await connect(settings(proxy.port))
    proxy.swallow_replies = True
    await eventually_async(lambda: proxy.connections > 1)
    proxy.swallow_replies = False
    proxy.cut()
    await eventually_async(connections.ping)


async def test_the_loop_stays_responsive_while_redis_is_away(
    server: RedisServer, connections: RedisConnections
) -> None:
    """Connecting and failing happen in the background: nothing holds the loop up."""
    server.pause()
    loop = asyncio.get_running_loop()
    turns, until = [], loop.time() + 1.0
    while (before := loop.time()) < until:
        reads = [asyncio.create_task(connections.reads.read("key", ("GET", "key"))) for _ in range(20)]
        turned = loop.create_future()
        loop.call_soon(turned.set_result, None)
        await turned
        turns.append(loop.time() - before)
        await asyncio.wait(reads, timeout=0.02)
        for read in reads:
            read.cancel()
        await asyncio.gather(*reads, return_exceptions=True)
    # Connecting here would hold it up again and again for a time-out; a busy machine may do so once.
    assert sorted(turns)[-2] < 0.25


async def test_a_loading_redis_is_unavailable(
    start_redis: Callable[..., RedisServer], connect: Connect
) -> None:
    """While Redis loads its data, a missing key means nothing: reads are unavailable, then right."""
    server = start_redis({"save": "3600 1000000", "rdbcompression": "no", "key-load-delay": "1000"})
    with server.client() as client, client.pipeline() as pipe:
        for number in range(600):
            pipe.set(f"key {number}", "x" * 10_000)
        pipe.execute()
    connections = await connect(settings(server.port))
    await asyncio.to_thread(server.stop)
    starting = asyncio.create_task(asyncio.to_thread(server.start))
    replies: set[object] = set()
    while not starting.done():
        try:
            replies.add(*await connections.reads.read("key 599", ("GET", "key 599")))
        except StoreUnavailable:
            replies.add("unavailable")
        await asyncio.wait([starting], timeout=0.01)
    await starting
    assert "Loading RDB" in server.log()
    assert replies <= {"unavailable", b"x" * 10_000}
    await eventually_async(connections.ping)
    assert await connections.reads.read("key 599", ("GET", "key 599")) == [b"x" * 10_000]


async def test_a_primary_that_became_a_replica_is_left(
    server: RedisServer, start_redis: Callable[..., RedisServer], connections: RedisConnections
) -> None:
    """A replica would go on answering, out of date: reads stop within about a second, until it is primary."""
    other = start_redis()
    assert await connections.ping()
    with server.client() as operator:
        operator.replicaof(LOOPBACK, other.port)
        await eventually_async(lambda: _unavailable(connections))
        operator.replicaof("NO", "ONE")
    await eventually_async(connections.ping)


async def _unavailable(connections: RedisConnections) -> bool:
    return not await connections.ping()


async def test_losing_and_finding_redis_is_logged_once_each(
    server: RedisServer, connections: RedisConnections, caplog: pytest.LogCaptureFixture
) -> None:
    """An outage writes a handful of lines for each channel, not one for each attempt or read."""
    caplog.set_level(logging.INFO, logger="session_service.storage")
    server.kill()
    for _ in range(30):
        await fails_at(connections)
    await eventually_async(lambda: any("cannot connect" in line for line in caplog.messages))
    server.start()
    await eventually_async(connections.ping)
    for channel in ("primary", "primary, changes"):
        said = [line for line in caplog.messages if line.startswith(f"redis {channel}: ")]
        assert 2 <= len(said) <= 5, caplog.messages


async def test_closing_at_any_moment_ends(server: RedisServer) -> None:
    """Close ends the background task also in the middle of connecting, where redis-py may swallow that."""
    for turns in range(60):
        connections = RedisConnections(settings(server.port))
        opening = asyncio.create_task(connections.open())
        for _ in range(turns):
            turned = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(turned.set_result, None)
            await turned
        async with asyncio.timeout(3):
            await connections.close()
        opening.cancel()
        await asyncio.wait([opening])


async def test_closing_ends_everything(server: RedisServer, connections: RedisConnections) -> None:
    """After close no task and no connection is left, and a read in flight has failed."""
    server.pause()
    read = asyncio.create_task(connections.reads.read("key", ("GET", "key")))
    await asyncio.wait([read], timeout=0.01)
    await connections.close()
    with pytest.raises(StoreUnavailable):
        await read
    server.resume()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    with server.client() as operator:
        await eventually_async(lambda: len(operator.client_list()) == 1)
