"""RecentEnds: a session that was ended stays ended on a primary that never heard of its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from session_service.domain.errors import StoreUnavailable
from session_service.domain.models import LiveState, SessionPolicy
from session_service.storage import keys
from session_service.storage import replay as replay_module
from session_service.storage.connections import RedisConnections
from session_service.storage.remembering import LiveSessions, RememberingSessionWriter, RememberingUserWriter
from session_service.storage.replay import REMEMBERED, RecentEnds
from session_service.storage.scripts import Mutations
from session_service.storage.sessions import RedisSessionReader, RedisSessionWriter
from session_service.storage.settings import RedisSentinel as SentinelSettings
from session_service.storage.settings import RedisSettings
from session_service.storage.users import RedisUserReader, RedisUserWriter
from tests.integration.storage.conftest import Connect
from tests.support import LOOPBACK, RedisBinary, RedisCluster, RedisSentinel, RedisServer, eventually_async
from tests.support.proxy import TcpProxy
from tests.support.stores import claims, new_session, new_user

POLICY = SessionPolicy(max_sessions=3, refresh_grace=0)


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores over one set of connections, as the service wires them."""

    connections: RedisConnections
    reader: RedisSessionReader
    sessions: RememberingSessionWriter
    users: RememberingUserWriter


def stores(connections: RedisConnections) -> Stores:
    """Wire them."""
    mutations = Mutations(connections.client, connections.changes)
    live = LiveSessions(connections.reads)
    users = RedisUserWriter(mutations, RedisUserReader(connections.reads))
    return Stores(
        connections,
        RedisSessionReader(connections.reads),
        RememberingSessionWriter(RedisSessionWriter(mutations, POLICY), live, connections.ends),
        RememberingUserWriter(users, live, connections.ends),
    )


@dataclass(slots=True)
class Failover:
    """A primary, and a replica that stops hearing of changes and takes its place."""

    proxy: TcpProxy
    replica: RedisServer

    async def part(self) -> None:
        """From now on the replica hears of nothing."""
        with self.replica.client() as client:
            await eventually_async(lambda: client.info("replication")["master_link_status"] == "up")
            await eventually_async(lambda: client.exists(keys.user("ada")))
            client.replicaof("NO", "ONE")

    def happen(self) -> None:
        """The replica is the primary."""
        self.proxy._target = self.replica.port
        self.proxy.cut()


@pytest.fixture
async def failover(start_redis: Callable[..., RedisServer]) -> AsyncIterator[Failover]:
    """A primary behind a proxy, and its replica."""
    primary = start_redis({"repl-diskless-sync-delay": "0"})
    replica = start_redis({"replicaof": f"{LOOPBACK} {primary.port}"})
    async with TcpProxy(primary.port) as proxy:
        yield Failover(proxy, replica)


@pytest.fixture
async def service(failover: Failover, connect: Connect) -> Stores:
    """The stores over that proxy, and a user."""
    where = RedisSettings(host=LOOPBACK, port=failover.proxy.port, connect_timeout=1.0, command_timeout=1.0)
    wired = stores(await connect(where))
    await wired.users.create(new_user())
    return wired


async def by_logout(service: Stores, session_id: str) -> None:
    """End one session."""
    assert await service.sessions.end("ada", session_id)


async def by_logout_from_all(service: Stores, _: str) -> None:
    """End all."""
    assert await service.sessions.end_all("ada") == 2


async def by_eviction(service: Stores, session_id: str) -> None:
    """Log in over the limit, until both sessions had to go."""
    created = [await service.sessions.create(new_session()) for _ in range(3)]
    assert session_id in [evicted for each in created for evicted in each.evicted]


async def by_reuse(service: Stores, session_id: str) -> None:
    """Use a spent refresh token."""
    await service.sessions.rotate("ada", session_id, 1, "t" * 22)
    await service.sessions.rotate("ada", session_id, 0, "u" * 22)


async def by_disabling(service: Stores, _: str) -> None:
    """Disable the user."""
    assert await service.users.set_disabled("ada", disabled=True)


async def by_deleting(service: Stores, _: str) -> None:
    """Delete the user."""
    assert await service.users.delete("ada")


async def by_a_new_password(service: Stores, _: str) -> None:
    """Set a password and end the sessions."""
    assert await service.users.set_password("ada", "$other$", end_sessions=True)


async def test_changes_follow_when_reads_move(failover: Failover, service: Stores) -> None:
    """The connection for changes lives on: an end that is acknowledged is one where sessions are read."""
    new = new_session()
    await service.sessions.create(new)
    await failover.part()
    failover.proxy._target = failover.replica.port
    target: Any = service.connections._target
    # What Sentinel's word, or a VIP that has moved, does to it.
    target._reading.renew("no longer the primary")
    await eventually_async(lambda: target.reads.is_open)
    assert await service.sessions.end("ada", new.session_id)
    key = keys.session("ada", new.session_id)
    assert await service.connections.reads.read(key, ("EXISTS", key)) == [0]


@pytest.mark.parametrize(
    "end",
    [by_logout, by_logout_from_all, by_eviction, by_reuse, by_disabling, by_deleting, by_a_new_password],
)
async def test_an_end_that_the_new_primary_missed_holds(
    failover: Failover, service: Stores, end: Callable[[Stores, str], Awaitable[None]]
) -> None:
    """However a session was ended, no read on the new primary ever finds it, and its index entry goes too."""
    first, other = new_session(), new_session()
    for new in (first, other):
        await service.sessions.create(new)
    await failover.part()
    await end(service, first.session_id)
    with failover.replica.client() as client:
        assert client.exists(keys.session("ada", first.session_id))
        failover.happen()
        assert await _first_answer(service, first.session_id, first.token_id) is None
        index = client.zrange(keys.session_index("ada"), 0, -1)
    assert first.session_id.encode() not in index


async def test_what_was_kept_lives_on(failover: Failover, service: Stores) -> None:
    """The replay ends what was ended and no other session of the user."""
    kept, ended = new_session(), new_session()
    for new in (kept, ended):
        await service.sessions.create(new)
    await failover.part()
    await service.sessions.end_all("ada", keep=kept.session_id)
    failover.happen()
    assert await _first_answer(service, ended.session_id, ended.token_id) is None
    assert await service.reader.read(claims("ada", kept.session_id, kept.token_id))


async def _first_answer(service: Stores, session_id: str, token_id: str) -> LiveState | None:
    """What the first read says that is answered after the failover."""
    answers: list[LiveState | Exception | None] = []

    async def answered() -> bool:
        answers.append(await service.reader.read(claims("ada", session_id, token_id)))
        return not isinstance(answers[-1], StoreUnavailable)

    await eventually_async(answered)
    assert not isinstance(answers[-1], Exception)
    return answers[-1]


async def test_a_failover_by_sentinel(redis_binary: RedisBinary, connect: Connect) -> None:
    """The same through a real failover, in which the replica missed the last change."""
    with RedisSentinel(redis_binary) as cluster:
        where = SentinelSettings(cluster.service_name, (cluster.address,))
        service = stores(await connect(RedisSettings(sentinel=where, connect_timeout=1.0)))
        ended = new_session()
        await service.sessions.create(ended)
        session = keys.session("ada", ended.session_id)
        with cluster.second.client() as client:
            await eventually_async(lambda: client.exists(session))
            kept = client.hgetall(session)
            assert await service.sessions.end("ada", ended.session_id)
            await eventually_async(lambda: not client.exists(session))
            client.config_set("replica-read-only", "no")
            client.hset(session, mapping=kept)
        await asyncio.to_thread(cluster.fail_over)
        assert await _first_answer(service, ended.session_id, ended.token_id) is None
        with cluster.second.client() as client:
            assert not client.exists(session)


async def test_a_full_memory_is_replayed_before_the_first_read(
    redis_server: RedisServer, connect: Connect
) -> None:
    """Ten thousand ends hold the channel back for a moment and then all hold."""
    settings = RedisSettings(host=LOOPBACK, port=redis_server.port, connect_timeout=2.0)
    connections = await connect(settings)
    names = [f"session-{number}" for number in range(REMEMBERED)]
    connections.ends.note("ada", names)
    with redis_server.client() as client:
        client.mset({keys.session("ada", name): "x" for name in names})
        assert client.dbsize() == REMEMBERED
        client.execute_command("CLIENT KILL TYPE normal SKIPME yes")
        await eventually_async(lambda: _counts(connections, 0))


async def _counts(connections: RedisConnections, expected: int) -> bool:
    try:
        [count] = await connections.reads.read("", ("DBSIZE",))
    except StoreUnavailable:
        return False
    assert count in {REMEMBERED, expected}
    return bool(count == expected)


async def test_each_primary_of_a_cluster_hears_of_its_own(
    redis_cluster: RedisCluster, connect: Connect
) -> None:
    """In a cluster every channel replays, and what belongs to other primaries is no obstacle."""
    connections = await connect(
        replace(RedisSettings(cluster=redis_cluster.addresses[:1]), connect_timeout=2.0)
    )
    users = [f"user-{number}" for number in range(30)]
    for user in users:
        connections.ends.note(user, ["ended"])
    with redis_cluster.client() as client:
        for user in users:
            client.set(keys.session(user, "ended"), "x")
        for node in redis_cluster.nodes:
            with node.client() as operator:
                operator.execute_command("CLIENT KILL TYPE normal SKIPME yes")
        await eventually_async(lambda: not any(client.exists(keys.session(user, "ended")) for user in users))
    await eventually_async(connections.ping)


class _Clock:
    now = 1_000.0

    def monotonic(self) -> float:
        return self.now


def test_the_memory_is_bounded_in_number_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the newest are kept, and those older than a minute go when a new one comes."""
    clock = _Clock()
    monkeypatch.setattr(replay_module, "time", clock)
    ends = RecentEnds()
    ends.note("ada", (str(number) for number in range(2 * REMEMBERED)))
    assert [session_id for _, _, session_id in ends._ends] == [
        str(each) for each in range(REMEMBERED, 2 * REMEMBERED)
    ]
    clock.now += 61
    ends.note("ada", ["last"])
    assert [session_id for _, _, session_id in ends._ends] == ["last"]
