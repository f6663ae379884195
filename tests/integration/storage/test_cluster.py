"""ClusterClient: changes follow the cluster's redirections and are never made twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from session_service.domain.errors import StoreUnavailable
from session_service.storage.cluster import ClusterClient
from session_service.storage.connections import RedisConnections
from session_service.storage.faults import store_faults
from session_service.storage.settings import RedisSettings
from tests.integration.storage.conftest import Connect
from tests.integration.storage.slots import SlotMove
from tests.support import LOOPBACK, RedisCluster, RedisServer, eventually_async
from tests.support.proxy import TcpProxy

# Two keys, as every change of sessions has several; both in the slot of {mover}.
INCREMENT_BOTH = "redis.call('INCR', KEYS[1]) return redis.call('INCR', KEYS[2])"


@pytest.fixture
def settings(redis_cluster: RedisCluster) -> RedisSettings:
    """One node is enough to find the others."""
    return RedisSettings(
        cluster=redis_cluster.addresses[:1], connect_timeout=1.0, command_timeout=0.5, max_connections=4
    )


@pytest.fixture
async def connections(settings: RedisSettings, connect: Connect) -> RedisConnections:
    """Connections to the shared cluster."""
    return await connect(settings)


@pytest.fixture
def source(redis_cluster: RedisCluster) -> RedisServer:
    """The primary of the slot of ``{mover}``."""
    return redis_cluster.owner("{mover}")


@pytest.fixture
def move(redis_cluster: RedisCluster, source: RedisServer) -> Iterator[SlotMove]:
    """A move of that slot to another primary."""
    target = next(node for node in redis_cluster.nodes if node is not source)
    with SlotMove("{mover}", source, target, redis_cluster.nodes) as move:
        yield move


async def execute(connections: RedisConnections, *command: str | int) -> Any:
    """Run a change as the stores do."""
    run: Callable[..., Awaitable[Any]] = connections.client.execute_command
    with store_faults():
        return await run(*command)


async def test_changes_go_where_their_key_is(
    redis_cluster: RedisCluster, connections: RedisConnections
) -> None:
    """Changes of all slots arrive, over one client."""
    for number in range(30):
        await execute(connections, "INCR", f"count:{{{number}}}")
    with redis_cluster.client() as client:
        assert [client.get(f"count:{{{number}}}") for number in range(30)] == [b"1"] * 30


async def test_every_primary_can_be_scanned(
    redis_cluster: RedisCluster, connections: RedisConnections
) -> None:
    """``primaries`` gives each primary once, with its own keys only."""
    with redis_cluster.client() as client:
        for number in range(60):
            client.set(f"{{{number}}}", number)
    seen = [key async for primary in connections.primaries() async for key in primary.scan_iter()]
    assert sorted(seen) == sorted(f"{{{number}}}".encode() for number in range(60))


async def test_moved_is_followed(connections: RedisConnections, move: SlotMove) -> None:
    """A slot that has moved since it was looked up costs the caller nothing, and each change is made once."""
    await execute(connections, "INCR", "a:{mover}")
    move.begin()
    move.finish()
    for expected in range(2, 22):
        assert await execute(connections, "INCR", "a:{mover}") == expected


async def test_changes_under_resharding_are_made_once_each(
    settings: RedisSettings, connect: Connect, move: SlotMove
) -> None:
    """Scripts with two keys run through a whole migration (MOVED, ASK, TRYAGAIN), none lost or doubled.

    A time-out would leave open whether a change was made: there is none that a busy machine would meet.
    """
    connections = await connect(replace(settings, connect_timeout=30.0, command_timeout=30.0))
    script = ("EVAL", INCREMENT_BOTH, 2, "a:{mover}", "b:{mover}")
    await execute(connections, *script)
    moved = asyncio.Event()

    async def change_on() -> int:
        count = 0
        while not moved.is_set():
            # A move that takes longer than redirections are followed: refused, so not made.
            with suppress(StoreUnavailable):
                await execute(connections, *script)
                count += 1
        return count

    changing = [asyncio.create_task(change_on()) for _ in range(3)]
    await asyncio.to_thread(_migrate, move, "a:{mover}", "b:{mover}")
    await execute(connections, *script)
    moved.set()
    made = 2 + sum(await asyncio.gather(*changing))
    assert (
        await connections.reads.read("{mover}", ("GET", "a:{mover}"), ("GET", "b:{mover}"))
        == [str(made).encode()] * 2
    )


def _migrate(move: SlotMove, *keys: str) -> None:
    move.begin()
    for key in keys:
        move.carry(key)
    move.finish()


async def test_a_key_made_inside_a_script_may_be_elsewhere_while_its_slot_moves(
    connections: RedisConnections, move: SlotMove
) -> None:
    """A script that reaches for an undeclared key which has gone already is unavailable, not a mistake."""
    script = "return redis.call('GET', ARGV[1])"
    await execute(connections, "SET", "a:{mover}", "here")
    await execute(connections, "SET", "b:{mover}", "gone")
    move.begin()
    move.carry("b:{mover}")
    with pytest.raises(StoreUnavailable):
        await execute(connections, "EVAL", script, 1, "a:{mover}", "b:{mover}")
    move.finish()
    assert await execute(connections, "EVAL", script, 1, "a:{mover}", "b:{mover}") == b"gone"


@pytest.mark.parametrize("lost", ["timeout", "connection"])
async def test_a_change_whose_reply_is_lost_ran_once(
    source: RedisServer,
    settings: RedisSettings,
    make_connections: Callable[[RedisSettings], RedisConnections],
    lost: str,
) -> None:
    """A change that the primary made and whose reply never came is sent to nobody again."""
    connections = make_connections(settings)
    assert isinstance(connections.client, ClusterClient)
    async with TcpProxy(source.port) as proxy:
        connections.client.nodes_manager.address_remap = lambda address: (
            (LOOPBACK, proxy.port) if address[1] == source.port else address
        )
        await connections.client.initialize()
        await execute(connections, "SET", "count:{mover}", 0)
        proxy.swallow_replies = True
        change = asyncio.create_task(execute(connections, "INCR", "count:{mover}"))
        await eventually_async(lambda: b":1\r\n" in proxy.swallowed)
        # From here on a second try would come through.
        proxy.swallow_replies = False
        if lost == "connection":
            proxy.cut()
        with pytest.raises(StoreUnavailable):
            await change
        await eventually_async(lambda: _goes_through(connections))
        assert await execute(connections, "GET", "count:{mover}") == b"1"


async def _goes_through(connections: RedisConnections) -> bool:
    try:
        await execute(connections, "SET", "other:{mover}", "x")
    except StoreUnavailable:
        return False
    return True


async def test_a_burst_waits_for_a_free_connection(
    source: RedisServer, settings: RedisSettings, connections: RedisConnections
) -> None:
    """Many more changes at once than connections are all made, over no more connections than allowed."""
    await asyncio.gather(*(execute(connections, "INCR", "count:{mover}") for _ in range(100)))
    with source.client() as client:
        assert client.get("count:{mover}") == b"100"
        names = [each["name"] for each in client.client_list()]
    assert names.count("session-service") <= 2 + settings.max_connections


async def test_a_queue_that_does_not_move_is_unavailable(settings: RedisSettings, connect: Connect) -> None:
    """With every connection held, a change fails after the wait it was allowed."""
    connections = await connect(replace(settings, connect_timeout=0.25, command_timeout=2.0))
    await execute(connections, "GET", "nothing:{mover}")
    holders = [asyncio.create_task(execute(connections, "BLPOP", "nothing:{mover}", 1)) for _ in range(4)]
    await asyncio.wait(holders, timeout=0.1)
    with pytest.raises(StoreUnavailable):
        await execute(connections, "GET", "nothing:{mover}")
    await asyncio.gather(*holders)
    await execute(connections, "GET", "nothing:{mover}")
