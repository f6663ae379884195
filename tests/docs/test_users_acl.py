"""deploy/users.acl lets the service do all it has to, and nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import redis
from redis.exceptions import NoPermissionError
from session_api.v1.admin_service_pb2 import DeleteUserRequest

from session_service.domain.events import Action, AuditEvent
from session_service.domain.policy import new_id
from session_service.domain.ports import Counter
from session_service.storage.settings import RedisSettings
from tests.support import LOOPBACK
from tests.support.house_rules import ROOT
from tests.support.in_process import in_process
from tests.support.stores import Store, claims, new_session, new_user, open_connections

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.support import RedisCluster, RedisServer

_, USER, *RULES = (ROOT / "deploy" / "users.acl").read_text().split()
SECRET = "a secret of the test"
AS_USER = RedisSettings(username=USER, password=SECRET, connect_timeout=10, command_timeout=10)
STORAGE = ROOT / "session_service" / "storage"
SOURCES = sorted([*STORAGE.glob("*.py"), *STORAGE.glob("lua/*.lua")])


def admit(server: RedisServer) -> None:
    """Add the user and switch it on, as docs/operations.md says."""
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", USER, *RULES)
        client.execute_command("ACL", "SETUSER", USER, "on", f">{SECRET}")


@pytest.fixture
def guarded(start_redis: Callable[..., RedisServer]) -> RedisServer:
    """A Redis that knows the user."""
    server = start_redis()
    admit(server)
    return server


@pytest.fixture
async def store(guarded: RedisServer) -> AsyncIterator[Store]:
    """All stores over that Redis, as that user."""
    settings = RedisSettings(
        unix_socket_path=str(guarded.socket_path), connect_timeout=10, command_timeout=10
    )
    connections = await open_connections(replace(settings, username=USER, password=SECRET))
    yield Store(connections.client, connections)
    await connections.close()


def test_nobody_gets_in_as_it_stands() -> None:
    """The file has no password in it, and the user is off until an operator gives one."""
    assert "off" in RULES
    assert not re.search(r"[>#<!]|nopass|\bon\b", " ".join(RULES))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_every_command_is_allowed(source: Path) -> None:
    """A script or a store that uses another command is noticed here and not by an operator."""
    used = set(re.findall(r"redis\.p?call\('([A-Z]+)'|\(\s*\"([A-Z]+)\"", source.read_text(encoding="utf-8")))

    allowed = {rule[1:].partition("|")[0] for rule in RULES if rule.startswith("+")}
    assert {name.lower() for names in used for name in names if name} <= allowed


async def test_the_service_can_do_all_it_has_to(store: Store, guarded: RedisServer) -> None:
    """Users and sessions begin, are used, change and end, upkeep runs; Redis refuses none of it."""
    await _live(store)

    with guarded.client() as client:
        assert client.acl_log() == []


async def test_the_whole_service_runs(guarded: RedisServer, tmp_path: Path) -> None:
    """What goes on beside the calls (health, sweep, audit trail) is allowed too."""
    section = {"host": LOOPBACK, "port": guarded.port, "username": USER, "password": SECRET}
    async with in_process(section, tmp_path) as service:
        user_id = await service.add_user()
        token = (await service.login()).access_token
        await service.verify(token)
        await service.logout(token)
        await service.admin_stub.DeleteUser(DeleteUserRequest(user_id=user_id), metadata=service.admin)

    with guarded.client() as client:
        assert client.acl_log() == []
        assert client.xlen("session_events") == 4


async def test_in_a_cluster_too(start_cluster: Callable[..., RedisCluster]) -> None:
    """What a cluster needs besides is allowed as well."""
    cluster = start_cluster()
    for node in cluster.nodes:
        admit(node)
    connections = await open_connections(replace(AS_USER, cluster=cluster.addresses))
    await _live(Store(connections.client, connections))
    await connections.close()


@pytest.mark.parametrize(
    "command",
    [
        ("FLUSHALL",),
        ("KEYS", "*"),
        ("CONFIG", "GET", "*"),
        ("ACL", "LIST"),
        ("SCRIPT", "FLUSH"),
        ("SHUTDOWN",),
        ("REPLICAOF", "NO", "ONE"),
        ("GET", "somebody_elses"),
        ("SET", "somebody_elses", "1"),
    ],
    ids=" ".join,
)
def test_it_can_do_nothing_else(guarded: RedisServer, command: tuple[str, ...]) -> None:
    """Neither the server nor another application's keys are within its reach."""
    with (
        redis.Redis(unix_socket_path=str(guarded.socket_path), username=USER, password=SECRET) as client,
        pytest.raises(NoPermissionError),
    ):
        client.execute_command(*command)


async def _live(store: Store) -> None:
    """Do everything once."""
    writer = store.writer(max_sessions=2)
    await store.directory.create(new_user())
    news = [new_session(request_id=f"request-{number}") for number in range(3)]
    for new in news:
        await writer.create(new)
    last = news[-1]
    await store.sessions.read(claims("ada", last.session_id, last.token_id))
    await store.sessions.fetch("ada", [each for each, _ in await store.sessions.activity("ada")])
    await store.sessions.knows_device("ada", last.fingerprint)
    await writer.touch("ada", last.session_id)
    await writer.rotate("ada", last.session_id, 1, new_id())
    await writer.end("ada", last.session_id)
    await _change_users(store)
    counters = [Counter("account", "ada", 10), Counter("address", "192.0.2.1", 10)]
    await store.attempts.take(counters, 60)
    await store.attempts.give_back(counters, clear_first=True)
    audit = store.audit()
    await audit.open()
    audit.record(AuditEvent(Action.LOGIN, "ada"))
    await audit.close()
    await store.upkeep.sweep()
    await store.upkeep.stats()
    assert (await store.fsck.run(repair=True)).wrong == {}
    await writer.end_all("ada")
    await store.directory.delete("ada")


async def _change_users(store: Store) -> None:
    await store.users.find("Ada")
    await store.users.list_users("", 10)
    await store.users.count()
    await store.directory.set_roles("ada", ("editor",))
    await store.directory.set_password("ada", "$another$", end_sessions=False)
    await store.directory.replace_hash("ada", "$another$", "$stronger$")
    await store.directory.set_disabled("ada", disabled=False)
