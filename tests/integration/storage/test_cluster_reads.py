"""ClusterReads: a cluster that reshards or loses a node, read without noticing or unavailable."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

import pytest
from redis.exceptions import ResponseError

from session_service.domain.errors import StoreUnavailable
from session_service.storage.cluster_reads import ClusterReads
from session_service.storage.connections import RedisConnections
from session_service.storage.reads import Group, Outcome, Reads
from session_service.storage.settings import RedisSettings
from session_service.storage.tracking import CACHING
from tests.integration.storage.conftest import Connect
from tests.integration.storage.slots import SlotMove, join
from tests.support import LOOPBACK, RedisBinary, RedisCluster, RedisServer, eventually_async
from tests.support.watching import Told

USERS = [f"user-{number}" for number in range(60)]


def settings(cluster: RedisCluster) -> RedisSettings:
    """One node is enough to find the others."""
    return RedisSettings(cluster=cluster.addresses[:1], connect_timeout=1.0, command_timeout=0.5)


@dataclass
class Asked:
    """A question that is asked once."""

    group: Group
    packed: bytes = b""


async def read_each(reads: Reads, groups: Sequence[Group]) -> list[Outcome]:
    """Ask for each group; what came of each, in order."""
    found: dict[int, Outcome] = {}
    whole: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(places: Sequence[int], outcomes: Sequence[Outcome]) -> None:
        found.update(zip(places, outcomes, strict=True))
        if len(found) == len(groups):
            whole.set_result(None)

    reads.ask([Asked(each) for each in groups], take)
    await whole
    return [found[place] for place in range(len(groups))]


@pytest.fixture
async def connections(redis_cluster: RedisCluster, connect: Connect) -> RedisConnections:
    """Connections to the shared cluster."""
    connections = await connect(settings(redis_cluster))
    await eventually_async(lambda: _all_answer(connections))
    return connections


@pytest.fixture
def move(redis_cluster: RedisCluster) -> Iterator[SlotMove]:
    """A move of the slot of ``{mover}`` to another primary of the shared cluster."""
    source = redis_cluster.owner("{mover}")
    target = next(node for node in redis_cluster.nodes if node is not source)
    with SlotMove("{mover}", source, target, redis_cluster.nodes) as move:
        yield move


async def _all_answer(connections: RedisConnections) -> bool:
    for user in USERS:
        await connections.reads.read(f"{{{user}}}", ("GET", f"{{{user}}}"))
    return True


async def test_every_slot_is_read_where_it_is(
    redis_cluster: RedisCluster, connections: RedisConnections
) -> None:
    """Keys of all primaries are read, several of one slot in one call."""
    with redis_cluster.client() as client:
        for user in USERS:
            client.set(f"a:{{{user}}}", f"a {user}")
    for user in USERS:
        replies = await connections.reads.read(
            f"a:{{{user}}}", ("GET", f"a:{{{user}}}"), ("GET", f"b:{{{user}}}")
        )
        assert replies == [f"a {user}".encode(), None]


async def test_many_keys_are_read_from_all_primaries_at_once(
    redis_cluster: RedisCluster, connections: RedisConnections
) -> None:
    """Each group has its own replies, in order; an error of one is its own."""
    with redis_cluster.client() as client:
        for user in USERS:
            client.set(f"a:{{{user}}}", f"a {user}")
    groups: list[Group] = [
        (f"{{{user}}}", (("GET", f"a:{{{user}}}"), ("GET", f"b:{{{user}}}"))) for user in USERS
    ]
    groups.insert(7, ("{user-3}", (("GET", "a:{user-3}"), ("HGET", "a:{user-3}", "field"))))
    outcomes = await read_each(connections.reads, groups)
    assert isinstance(outcomes.pop(7), ResponseError)
    assert outcomes == [[f"a {user}".encode(), None] for user in USERS]


async def test_stale_slots_are_corrected(redis_cluster: RedisCluster, connections: RedisConnections) -> None:
    """With every slot taken for another primary's, MOVED is followed and the slots are asked for again."""
    with redis_cluster.client() as client:
        for user in USERS:
            client.set(f"{{{user}}}", user)
    reads = connections.reads
    assert isinstance(reads, ClusterReads)
    right = list(reads._owners)
    reads._owners.reverse()
    for user in USERS:
        assert await connections.reads.read(f"{{{user}}}", ("GET", f"{{{user}}}")) == [user.encode()]
    await eventually_async(lambda: reads._owners == right)
    reads._owners.reverse()
    groups: list[Group] = [(f"{{{user}}}", (("GET", f"{{{user}}}"),)) for user in USERS]
    assert await read_each(connections.reads, groups) == [[user.encode()] for user in USERS]
    await eventually_async(lambda: reads._owners == right)


async def test_keys_on_both_sides_of_a_migration(
    redis_cluster: RedisCluster, connections: RedisConnections, move: SlotMove
) -> None:
    """While a slot migrates, one call finds the key that stays and the one that went, and misses a third."""
    with redis_cluster.client() as client:
        client.set("stays:{mover}", "here")
        client.set("goes:{mover}", "there")
    move.begin()
    move.carry("goes:{mover}")
    replies = await connections.reads.read(
        "{mover}", ("GET", "stays:{mover}"), ("GET", "goes:{mover}"), ("GET", "missing:{mover}")
    )
    assert replies == [b"here", b"there", None]


async def test_what_moves_is_told_and_what_is_redirected_is_not_followed(
    redis_cluster: RedisCluster, connections: RedisConnections, move: SlotMove
) -> None:
    """The former primary tells of a key that leaves it; nobody tells of one that was read by redirection."""
    with redis_cluster.client() as client:
        client.set("{mover}", "a")
    watch = await _watched(connections, "{mover}")
    assert watch.feed is not None
    move.begin()
    move.carry()
    await connections.tracking.caught_up()
    assert watch.over
    assert (await _watched(connections, "{mover}")).feed is None  # ASK
    move.finish()
    assert (await _watched(connections, "{mover}")).feed is None  # MOVED
    with redis_cluster.client() as client:
        watch = await _watched(connections, "{mover}")
        assert watch.feed is not None
        client.delete("{mover}")
    await connections.tracking.caught_up()
    assert watch.over


async def _watched(connections: RedisConnections, key: str) -> Told:
    watch = Told()
    connections.tracking.register(watch, (key.encode(),))
    _, link = await connections.reads.track(key, CACHING, ("GET", key))
    connections.tracking.follow(watch, link)
    return watch


async def test_resharding_under_reads_is_invisible(
    redis_cluster: RedisCluster, connections: RedisConnections, move: SlotMove
) -> None:
    """A whole migration, begun, carried over key by key and finished under reads, shows in none of them."""
    keys = [f"{number}:{{mover}}" for number in range(50)]
    for key in keys:
        await connections.client.set(key, key)
    groups: list[Group] = [(key, (("GET", key),)) for key in keys]
    moved = asyncio.Event()

    async def read_on() -> int:
        count = 0
        while not moved.is_set():
            replies = await connections.reads.read("{mover}", *(("GET", key) for key in keys))
            assert replies == [key.encode() for key in keys]
            assert await read_each(connections.reads, groups) == [[key.encode()] for key in keys]
            count += 1
        return count

    readers = [asyncio.create_task(read_on()) for _ in range(4)]
    await asyncio.to_thread(move.begin)
    for key in keys:
        await asyncio.to_thread(move.carry, key)
    await asyncio.to_thread(move.finish)
    assert await connections.reads.read("{mover}", *(("GET", key) for key in keys)) == [
        key.encode() for key in keys
    ]
    moved.set()
    assert min(await asyncio.gather(*readers)) > 1


async def test_an_error_reply_passes_through(connections: RedisConnections) -> None:
    """A wrong command is not taken for a redirection."""
    await connections.client.set("{user}", "text")
    with pytest.raises(Exception, match="WRONGTYPE"):
        await connections.reads.read("{user}", ("GET", "{user}"), ("HGET", "{user}", "field"))


@pytest.fixture(scope="module")
def breakable_cluster(redis_binary: RedisBinary) -> Iterator[RedisCluster]:
    """A cluster of this module's own."""
    with RedisCluster(redis_binary) as cluster:
        yield cluster


class TestBrokenCluster:
    """A cluster that loses a primary, or gets one."""

    @pytest.fixture
    def cluster(self, breakable_cluster: RedisCluster) -> RedisCluster:
        """Three primaries, to break."""
        return breakable_cluster

    @pytest.fixture
    async def connections(self, cluster: RedisCluster, connect: Connect) -> AsyncIterator[RedisConnections]:
        """Connections to that cluster, whole again after the test."""
        connections = await connect(settings(cluster))
        await eventually_async(lambda: _answers_everywhere(connections))
        yield connections
        for node in cluster.nodes:
            if not node.running:
                node.start()
        await eventually_async(lambda: _answers_everywhere(connections), timeout=20)

    async def test_a_dead_primary_costs_its_own_users_only(
        self, cluster: RedisCluster, connections: RedisConnections
    ) -> None:
        """Its users are unavailable at once, the others are served, health stays; and back it is found."""
        dead = cluster.owner("{user-1}")
        alive = next(user for user in USERS if cluster.owner(f"{{{user}}}") is not dead)
        dead.kill()
        with pytest.raises(StoreUnavailable):
            await connections.reads.read("{user-1}", ("GET", "{user-1}"))
        assert await connections.reads.read(f"{{{alive}}}", ("GET", f"{{{alive}}}")) == [None]
        groups: list[Group] = [(f"{{{user}}}", (("GET", f"{{{user}}}"),)) for user in USERS]
        of_dead = [cluster.owner(f"{{{user}}}") is dead for user in USERS]
        outcomes = await read_each(connections.reads, groups)
        assert [isinstance(each, StoreUnavailable) for each in outcomes] == of_dead
        assert await connections.ping()
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await connections.reads.read("{user-1}", ("GET", "{user-1}"))
        assert time.monotonic() - started < 0.3
        dead.start()
        await eventually_async(lambda: _answers_everywhere(connections), timeout=20)

    async def test_a_cluster_that_is_down_is_unavailable(
        self, cluster: RedisCluster, connections: RedisConnections
    ) -> None:
        """CLUSTERDOWN, which the living answer once a primary is lost for good, is unavailable."""
        dead = cluster.owner("{user-1}")
        alive = next(user for user in USERS if cluster.owner(f"{{{user}}}") is not dead)
        dead.kill()
        await eventually_async(lambda: _unavailable(connections, alive), timeout=20)

    async def test_a_primary_without_its_cluster_confirms_nothing(
        self, cluster: RedisCluster, connections: RedisConnections
    ) -> None:
        """What was read from a primary that answers PING and nothing else is followed no longer."""
        dead = cluster.owner("{user-1}")
        alive = next(user for user in USERS if cluster.owner(f"{{{user}}}") is not dead)
        watch = await _watched(connections, f"{{{alive}}}")
        dead.kill()
        await eventually_async(lambda: watch.over, timeout=20)

    async def test_a_migration_to_a_node_without_slots(
        self, cluster: RedisCluster, connections: RedisConnections
    ) -> None:
        """A new node, not yet in the slots, is asked when ASK names it; by reads and by changes."""
        source = cluster.owner("{user-1}")
        with RedisServer(
            cluster.nodes[0].binary, {"cluster-enabled": "yes", "cluster-node-timeout": "2000"}
        ) as node:
            await asyncio.to_thread(join, node, cluster.nodes)
            with SlotMove("{user-1}", source, node, cluster.nodes) as move:
                await connections.client.set("a:{user-1}", "a")
                move.begin()
                move.carry("a:{user-1}")
                await connections.client.set("b:{user-1}", "b")
                replies = await connections.reads.read(
                    "{user-1}", ("GET", "a:{user-1}"), ("GET", "b:{user-1}")
                )
                assert replies == [b"a", b"b"]
                move.finish()
                replies = await connections.reads.read(
                    "{user-1}", ("GET", "a:{user-1}"), ("GET", "b:{user-1}")
                )
                assert replies == [b"a", b"b"]


async def _answers_everywhere(connections: RedisConnections) -> bool:
    try:
        return await _all_answer(connections)
    except StoreUnavailable:
        return False


async def _unavailable(connections: RedisConnections, user: str) -> bool:
    try:
        await connections.reads.read(f"{{{user}}}", ("GET", f"{{{user}}}"))
    except StoreUnavailable:
        return True
    return False


async def test_the_cluster_may_come_after_the_service(connect: Connect, redis_cluster: RedisCluster) -> None:
    """Opening without any node succeeds; reads and health are unavailable."""
    connections = await connect(RedisSettings(cluster=((LOOPBACK, 1),)))
    assert not await connections.ping()
    with pytest.raises(StoreUnavailable):
        await connections.reads.read("key", ("GET", "key"))
    [outcome] = await read_each(connections.reads, [("key", (("GET", "key"),))])
    assert isinstance(outcome, StoreUnavailable)


async def test_closing_ends_everything(redis_cluster: RedisCluster, connect: Connect) -> None:
    """After close no task is left."""
    connections = await connect(settings(redis_cluster))
    await connections.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
