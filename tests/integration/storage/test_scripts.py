"""Scripts are run once, whatever becomes of their answer, and wait for replicas if asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from session_service.domain.errors import StoreUnavailable
from session_service.domain.policy import new_id
from session_service.domain.ports import Counter
from session_service.storage import keys
from session_service.storage.channel import Channel
from session_service.storage.cluster import ClusterClient
from session_service.storage.connections import RedisConnections
from session_service.storage.scripts import Mutations, load
from session_service.storage.settings import RedisSettings
from tests.support import LOOPBACK, RedisBinary, RedisCluster, RedisServer, eventually_async
from tests.support.stores import Store, claims, new_session, new_user

Connect = Callable[[RedisSettings], Awaitable[RedisConnections]]
StartRedis = Callable[..., RedisServer]


def at(server: RedisServer, **changes: float) -> RedisSettings:
    """Settings for a server; patient, as the machine may be busy."""
    settings = RedisSettings(unix_socket_path=str(server.socket_path), connect_timeout=10, command_timeout=10)
    return replace(settings, **changes)  # type: ignore[arg-type]


@pytest.fixture
async def store(connect: Connect, redis_server: RedisServer) -> Store:
    """The stores over the shared server."""
    connections = await connect(at(redis_server))
    return Store(connections.client, connections)


def waiting(store: Store, replicas: int) -> Store:
    """The same stores, each change acknowledged by so many replicas."""
    changes = store.connections.changes
    return store.through(Mutations(store.client, changes, wait_replicas=replicas, wait_timeout=0.3))


async def test_a_forgotten_script_is_sent_again_and_runs_once(store: Store) -> None:
    """After a restart or a failover Redis knows no script; the change is made all the same, once."""
    for count in range(1, 4):
        await store.do("SCRIPT", "FLUSH")
        await store.attempts.take([Counter("account", "ada", 100)], 60)
        assert int(await store.do("GET", keys.login_attempts("account", "ada"))) == count


@pytest.mark.parametrize("acknowledged", [True, False])
async def test_a_change_whose_answer_is_lost_is_not_made_twice(
    connect: Connect, start_redis: StartRedis, *, acknowledged: bool
) -> None:
    """Redis stalls after it was asked: the caller learns that nothing is known, and nobody asks again."""
    server = start_redis()
    connections = await connect(at(server, command_timeout=0.2))
    store = Store(connections.client, connections)
    key = keys.login_attempts("account", "ada")

    async def change() -> None:
        await store.mutations.run(load("take"), [key], 60_000, 100, acknowledged=acknowledged)

    async def count() -> int:
        return int(await store.do("GET", key))

    async def lost_one_was_made() -> bool:
        return await count() == 2

    await change()
    server.pause()
    with pytest.raises(StoreUnavailable):
        await change()
    server.resume()
    await eventually_async(lost_one_was_made)
    await eventually_async(connections.ping)
    await change()
    assert await count() == 3


@pytest.mark.parametrize("is_open", [True, False])
async def test_changes_go_over_their_channel_while_it_is_open(
    store: Store, monkeypatch: pytest.MonkeyPatch, *, is_open: bool
) -> None:
    """And else over the pool, so that nothing fails for want of the channel."""
    over_the_pool = []
    execute: Any = store.client.execute_command

    async def noted(*command: Any) -> Any:
        over_the_pool.append(command[0])
        return await execute(*command)

    monkeypatch.setattr(store.client, "execute_command", noted)
    if not is_open:
        monkeypatch.setattr(Channel, "is_open", False)
    await store.writer().create(new_session())
    assert bool(over_the_pool) is not is_open


async def test_without_enough_replicas_changes_are_unavailable_and_checks_work(store: Store) -> None:
    """Login, refresh and logout answer UNAVAILABLE; reading and noting activity go on."""
    new = new_session()
    await store.writer().create(new)
    strict = waiting(store, replicas=1)
    writer = strict.writer()
    with pytest.raises(StoreUnavailable):
        await writer.create(new_session())
    with pytest.raises(StoreUnavailable):
        await writer.rotate("ada", new.session_id, 1, new_id())
    await writer.touch("ada", new.session_id)
    assert await strict.sessions.read(claims("ada", new.session_id, new.token_id)) is not None
    with pytest.raises(StoreUnavailable):
        await writer.end("ada", new.session_id)
    assert await strict.sessions.read(claims("ada", new.session_id, new.token_id)) is None


async def test_a_replica_has_what_was_acknowledged(connect: Connect, start_redis: StartRedis) -> None:
    """When the answer comes, the replica has the session, and has lost it when it was ended (I2)."""
    primary, replica = start_redis(), start_redis()
    connections = await connect(at(primary))
    store = waiting(Store(connections.client, connections), replicas=1)
    with replica.client() as other:
        other.execute_command("REPLICAOF", LOOPBACK, primary.port)
        await eventually_async(lambda: other.info("replication")["master_link_status"] == "up", timeout=20)
        await eventually_async(lambda: _acknowledged(store), timeout=20)
        for _ in range(50):
            new = new_session()
            await store.writer().create(new)
            assert other.exists(keys.session("ada", new.session_id))
            await store.writer().end("ada", new.session_id)
            assert not other.exists(keys.session("ada", new.session_id))


def _same_node(cluster: RedisCluster, one: str, other: str) -> bool:
    """Whether two users' keys are on one primary."""
    return cluster.owner(keys.user(one)) is cluster.owner(keys.user(other))


def _misplace(connections: RedisConnections, key: str) -> None:
    """Make the client believe that another primary has the key, as after a resharding."""
    client = connections.client
    assert isinstance(client, ClusterClient)
    slots = client.nodes_manager.slots_cache
    slot = client.keyslot(key)
    slots[slot] = [next(node for node in client.get_primaries() if node != slots[slot][0])]


async def _acknowledged(store: Store, key: str = "probe") -> bool:
    """Whether the replica has begun to acknowledge."""
    try:
        await store.mutations.command("EXPIRE", key, 60)
    except StoreUnavailable:
        return False
    return True


@pytest.mark.slow
async def test_in_a_cluster_too_replicas_acknowledge(connect: Connect, redis_binary: RedisBinary) -> None:
    """WAIT goes to the primary that made the change, over the same connection, also after a MOVED."""
    with (
        RedisCluster(redis_binary) as cluster,
        RedisServer(redis_binary, {"cluster-enabled": "yes"}) as replica,
        cluster.owner(keys.user("ada")).client() as owner,
        replica.client() as other,
    ):
        owner_id = owner.execute_command("CLUSTER MYID").decode()
        other.execute_command("CLUSTER MEET", *cluster.addresses[0])
        await eventually_async(lambda: owner_id in str(other.execute_command("CLUSTER NODES")), timeout=20)
        other.execute_command("CLUSTER REPLICATE", owner_id)
        await eventually_async(lambda: other.info("replication")["master_link_status"] == "up", timeout=20)
        settings = RedisSettings(cluster=cluster.addresses, connect_timeout=10, command_timeout=10)
        connections = await connect(settings)
        store = waiting(Store(connections.client, connections), replicas=1)
        await eventually_async(lambda: _acknowledged(store, keys.user("ada")), timeout=20)
        await store.writer().create(new_session("ada"))
        _misplace(connections, keys.user("ada"))
        await asyncio.gather(*(store.writer().create(new_session("ada")) for _ in range(30)))
        assert len(other.execute_command("KEYS", "user_session:*")) == 31
        # The other primaries have no replica.
        elsewhere = next(user for user in map(str, range(99)) if not _same_node(cluster, user, "ada"))
        with pytest.raises(StoreUnavailable):
            await store.writer().create(new_session(elsewhere))
        await connections.close()


async def test_with_memory_full_logins_are_unavailable_and_logouts_work(
    connect: Connect, start_redis: StartRedis
) -> None:
    """Redis at maxmemory with noeviction: nothing is stored by half, and everything that ends still ends."""
    server = start_redis()
    connections = await connect(at(server))
    store = Store(connections.client, connections)
    writer = store.writer(idle_timeout=600, max_sessions=4)
    news = [new_session() for _ in range(4)]
    for user in ("ada", "bob", "eve"):
        await store.directory.create(new_user(user, user))
    for new in news:
        await writer.create(new)
    await writer.create(new_session("bob"))
    await store.do("CONFIG", "SET", "maxmemory", "1kb")
    before = await store.keys()
    refused: list[Callable[[], Awaitable[object]]] = [
        lambda: writer.create(new_session("carol", request_id="r-1")),
        lambda: writer.create(new_session("ada")),
        lambda: writer.rotate("ada", news[0].session_id, 1, new_id()),
        lambda: store.directory.create(new_user("dave", "dave")),
        lambda: store.directory.set_roles("ada", ("viewer",)),
        lambda: store.attempts.take([Counter("account", "ada", 5)], 60),
    ]
    for change in refused:
        with pytest.raises(StoreUnavailable):
            await change()
    assert await store.keys() == before
    session = keys.session("ada", news[0].session_id)
    await store.do("PEXPIRE", session, 5_000)
    await writer.touch("ada", news[0].session_id)
    assert await store.do("PTTL", session) > 590_000
    assert await writer.end("ada", news[0].session_id)
    changed = await store.directory.set_password("ada", "$new$", end_sessions=True, keep=news[1].session_id)
    assert changed is not None
    assert changed.ended_count == 2
    assert await writer.end_all("ada") == 1
    disabled = await store.directory.set_disabled("bob", disabled=True)
    assert disabled is not None
    assert (disabled.user.disabled, disabled.ended_count) == (True, 1)
    assert await store.directory.set_disabled("eve", disabled=True) is not None
    assert await store.directory.delete("ada") is not None
    assert not await store.keys("user_session*")


async def test_a_replica_refuses_changes(connect: Connect, start_redis: StartRedis) -> None:
    """A primary that was demoted answers READONLY, which is UNAVAILABLE and not a verdict on a session."""
    primary, demoted = start_redis(), start_redis()
    connections = await connect(at(demoted))
    store = Store(connections.client, connections)
    await store.do("REPLICAOF", LOOPBACK, primary.port)
    with pytest.raises(StoreUnavailable):
        await store.writer().create(new_session())
    with pytest.raises(StoreUnavailable):
        await store.writer().end("ada", new_id())
