"""What Redis says when it cannot serve becomes StoreUnavailable, from plain commands and from scripts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from redis import exceptions as redis_errors

from session_service.domain.errors import StoreUnavailable
from session_service.storage import faults
from session_service.storage.connections import RedisConnections
from session_service.storage.faults import fault_code, is_store_fault, store_faults
from session_service.storage.settings import RedisSettings
from tests.integration.storage.conftest import Connect
from tests.support import LOOPBACK, RedisServer, eventually_async

WRITE = ("SET", "key", "value")
WRITE_IN_SCRIPT = ("EVAL", "return redis.call('SET', KEYS[1], 'value')", 1, "key")
WRITE_IN_PCALL = ("EVAL", "return redis.pcall('SET', KEYS[1], 'value')", 1, "key")


@pytest.fixture
async def connections(start_redis: Callable[..., RedisServer], connect: Connect) -> RedisConnections:
    """Connections to a server of the test's own."""
    return await connect(RedisSettings(host=LOOPBACK, port=start_redis().port))


def execute(connections: RedisConnections) -> Callable[..., Awaitable[object]]:
    """Run a command over the client for changes."""
    run: Callable[..., Awaitable[object]] = connections.client.execute_command
    return run


async def fault_of(connections: RedisConnections, *command: str | int) -> str:
    """The code of the store fault that a command ends in."""
    with pytest.raises(StoreUnavailable) as raised, store_faults():
        await execute(connections)(*command)
    assert raised.value.__cause__ is not None
    return fault_code(raised.value.__cause__)


@pytest.mark.parametrize(
    "command", [WRITE, WRITE_IN_SCRIPT, WRITE_IN_PCALL], ids=["plain", "script", "pcall"]
)
@pytest.mark.parametrize(
    ("configuration", "code"),
    [({"maxmemory": "1"}, "OOM"), ({"min-replicas-to-write": "1"}, "NOREPLICAS")],
    ids=["OOM", "NOREPLICAS"],
)
async def test_refused_writes(
    connections: RedisConnections, configuration: dict[str, str], code: str, command: tuple[str | int, ...]
) -> None:
    """Out of memory or short of replicas, Redis refuses a write: a fault, however it is wrapped."""
    for name, value in configuration.items():
        await connections.client.config_set(name, value)
    assert await fault_of(connections, *command) == code


@pytest.mark.parametrize("command", [WRITE, WRITE_IN_SCRIPT], ids=["plain", "script"])
async def test_a_replica_refuses_writes(
    start_redis: Callable[..., RedisServer], connections: RedisConnections, command: tuple[str | int, ...]
) -> None:
    """A primary that became a replica refuses a write, and the connection is not used again."""
    await execute(connections)("REPLICAOF", LOOPBACK, start_redis().port)
    assert await fault_of(connections, *command) == "READONLY"
    with pytest.raises(StoreUnavailable) as refused, store_faults():
        await execute(connections)(*command)
    assert "replica" in str(refused.value.__cause__)


async def test_writes_refused_after_a_failed_save(
    start_redis: Callable[..., RedisServer], connect: Connect
) -> None:
    """MISCONF: Redis cannot save and refuses writes; reads go on."""
    server = start_redis({"save": "3600 1000"})
    (server.directory / "dump.rdb").mkdir()
    connections = await connect(RedisSettings(host=LOOPBACK, port=server.port))
    await connections.client.set("key", "old")
    with server.client() as operator:
        operator.bgsave()
        await eventually_async(lambda: operator.info("persistence")["rdb_last_bgsave_status"] == "err")
    assert await fault_of(connections, *WRITE) == "MISCONF"
    assert await connections.reads.read("key", ("GET", "key")) == [b"old"]


async def test_a_long_script_makes_redis_busy(
    start_redis: Callable[..., RedisServer], connect: Connect
) -> None:
    """BUSY: while somebody's script runs on and on, everything is unavailable."""
    server = start_redis({"lua-time-limit": "5"})
    connections = await connect(RedisSettings(host=LOOPBACK, port=server.port))
    with server.client() as culprit, server.client() as operator:
        running = asyncio.create_task(asyncio.to_thread(_run_forever, culprit.execute_command))
        await eventually_async(lambda: _is_busy(operator.execute_command))
        assert await fault_of(connections, *WRITE) == "BUSY"
        with pytest.raises(StoreUnavailable):
            await connections.reads.read("key", ("GET", "key"))
        operator.script_kill()
        await running


def _run_forever(execute: Callable[..., object]) -> None:
    with pytest.raises(redis_errors.ResponseError):
        execute("EVAL", "while true do end", 0)


def _is_busy(execute: Callable[..., object]) -> bool:
    try:
        execute("GET", "key")
    except redis_errors.ResponseError as error:
        return fault_code(error) == "BUSY"
    return False


async def test_missing_rights_are_a_fault_and_logged(
    connections: RedisConnections, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NOPERM is unavailable to callers and an error in the log, once in ten seconds and not per call."""
    monkeypatch.setattr(faults, "_last_logged", {})
    await execute(connections)("ACL", "SETUSER", "default", "-set")
    for _ in range(5):
        assert await fault_of(connections, *WRITE) == "NOPERM"
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


@pytest.mark.parametrize("command", [("NONSENSE",), ("GET",), ("EVAL", "syntax error", 0)])
async def test_our_own_mistakes_pass_through(
    connections: RedisConnections, command: tuple[str | int, ...]
) -> None:
    """A command that is wrong is a bug of this program and not Redis being away."""
    with pytest.raises(redis_errors.ResponseError), store_faults():
        await execute(connections)(*command)
    with pytest.raises(redis_errors.ResponseError):
        await connections.reads.read("key", command)


@pytest.mark.parametrize(
    "error",
    [
        redis_errors.ConnectionError("refused"),
        redis_errors.TimeoutError("late"),
        redis_errors.BusyLoadingError("loading"),
        redis_errors.MaxConnectionsError("all in use"),
        redis_errors.AuthenticationError("wrong"),
        redis_errors.ClusterDownError("the cluster is down"),
        redis_errors.MasterDownError("link down"),
        redis_errors.ClusterError("TTL exhausted."),
        redis_errors.SlotNotCoveredError("slot 1"),
        redis_errors.RedisClusterException("Redis Cluster cannot be connected."),
        redis_errors.InvalidResponse("what is this"),
        redis_errors.ResponseError("MISCONF Redis is configured to save"),
        redis_errors.TryAgainError("Multiple keys", status_code="TRYAGAIN"),
        ConnectionResetError(),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_faults(error: Exception) -> None:
    """Each of these says nothing about a session."""
    assert is_store_fault(error)
    with pytest.raises(StoreUnavailable), store_faults():
        raise error


@pytest.mark.parametrize(
    "error",
    [
        redis_errors.ResponseError("ERR value is not an integer or out of range"),
        redis_errors.ResponseError("WRONGTYPE Operation against a key"),
        redis_errors.NoScriptError("No matching script", status_code="NOSCRIPT"),
        redis_errors.DataError("cannot encode"),
        ValueError("READONLY is only in the text"),
        KeyError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_faults(error: Exception) -> None:
    """Anything else passes through unchanged."""
    assert not is_store_fault(error)
    with pytest.raises(type(error)) as raised, store_faults():
        raise error
    assert raised.value is error


def test_what_is_unavailable_already_passes_through() -> None:
    """Nested use changes nothing."""
    error = StoreUnavailable(retry_after=3.0)
    with pytest.raises(StoreUnavailable) as raised, store_faults(), store_faults():
        raise error
    assert raised.value is error
