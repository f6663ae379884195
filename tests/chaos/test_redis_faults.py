"""Every way in which Redis can fail: what the service answers, how soon, and that it recovers by itself."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TypeAlias

import pytest
import redis
from session_api.v1 import session_service_pb2 as pb

from session_service.storage import keys
from tests.support import RedisServer, eventually, eventually_async, free_port
from tests.support.in_process import ServiceUnderTest
from tests.support.outcomes import Life, Outcomes, is_serving
from tests.support.service_client import ServiceClient

Serve: TypeAlias = Callable[..., Awaitable[ServiceUnderTest]]

UNAVAILABLE = "STORE_UNAVAILABLE"
NOTHING = Outcomes.all(UNAVAILABLE)
READS = Outcomes(login=UNAVAILABLE, refresh=UNAVAILABLE, logout=UNAVAILABLE)
# What a faulty Redis may cost a caller: waiting for a connection, opening it, and one command's time-out.
LIMIT = 3.0
PATIENCE = 20.0


@contextlib.contextmanager
def killed(server: RedisServer) -> Iterator[None]:
    """The process is gone, as after a crash; its data are on disk."""
    server.kill()
    yield
    server.start()


@contextlib.contextmanager
def stopped(server: RedisServer) -> Iterator[None]:
    """The process does not run, though the kernel keeps its connections open and takes new ones."""
    server.pause()
    yield
    server.resume()


@contextlib.contextmanager
def replica(server: RedisServer) -> Iterator[None]:
    """A replica by now, of a primary that is gone."""
    with server.client() as client:
        client.replicaof("127.0.0.1", free_port())
        yield
        client.replicaof("NO", "ONE")


@contextlib.contextmanager
def lonely(server: RedisServer) -> Iterator[None]:
    """It must have a replica to take a write, and has none."""
    with configured(server, "min-replicas-to-write", "1", "0"):
        yield


@contextlib.contextmanager
def full(server: RedisServer) -> Iterator[None]:
    """Out of memory, and told not to evict."""
    with configured(server, "maxmemory", "1", "0"):
        yield


@contextlib.contextmanager
def unable_to_save(server: RedisServer) -> Iterator[None]:
    """Its last snapshot failed, so that it refuses writes."""
    in_its_way = server.directory / "dump.rdb"
    in_its_way.mkdir()
    with configured(server, "save", "3600 1", ""), server.client() as client:
        client.bgsave()
        eventually(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
        yield
    in_its_way.rmdir()


@contextlib.contextmanager
def busy(server: RedisServer) -> Iterator[None]:
    """Somebody's script runs on and on."""
    with configured(server, "lua-time-limit", "50", "5000"):
        with server.client() as client:
            client.connection_pool.connection_kwargs["socket_timeout"] = 0.2
            with contextlib.suppress(redis.TimeoutError):
                client.eval("while true do end", 0)
        yield
        with server.client() as client:
            client.script_kill()


@contextlib.contextmanager
def locked(server: RedisServer) -> Iterator[None]:
    """It asks for a password that the service has not got."""
    with server.client() as client:
        client.config_set("requirepass", "another")
        client.execute_command("CLIENT KILL TYPE normal")
        yield
        client.config_set("requirepass", "")


@contextlib.contextmanager
def configured(server: RedisServer, name: str, value: str, normal: str) -> Iterator[None]:
    """One setting has a value for a while."""
    with server.client() as client:
        client.config_set(name, value)
        yield
    with server.client() as client:
        client.config_set(name, normal)


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault with what the service shall answer meanwhile.

    Args:
        strike: makes it, and mends it.
        expected: what the calls answer meanwhile.
        healthy: what health says meanwhile.
        noticed: whether it takes the service a moment to find out.
        config: of the server from the start.
    """

    strike: Callable[[RedisServer], AbstractContextManager[None]]
    expected: Outcomes = NOTHING
    healthy: bool = False
    noticed: bool = False
    config: Mapping[str, str] = field(default_factory=dict)


FAULTS = {
    "killed": Fault(killed, config={"appendonly": "yes", "appendfsync": "always"}),
    "stopped": Fault(stopped),
    "busy": Fault(busy),
    "locked": Fault(locked),
    "read-only": Fault(replica, noticed=True),
    "too few replicas": Fault(lonely, READS, healthy=True),
    "unable to save": Fault(unable_to_save, READS, healthy=True),
    "full": Fault(full, Outcomes(login=UNAVAILABLE, refresh=UNAVAILABLE), healthy=True),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_is_unavailable_while_it_lasts(
    start_redis: Callable[..., RedisServer], serve: Serve, name: str
) -> None:
    """Calls that need what is gone are UNAVAILABLE in time (I5), health says so, and then all is well."""
    fault = FAULTS[name]
    server = start_redis(fault.config)
    service = await serve(server, session={"refresh_grace": 600})
    life = await Life.begin(service)
    _last_seen_long_ago(server, life.stays)
    with fault.strike(server):
        if fault.noticed:
            await eventually_async(lambda: _is_health(service, fault.healthy), timeout=PATIENCE)
        assert await life.outcomes(LIMIT) == fault.expected
        await eventually_async(lambda: _is_health(service, fault.healthy), timeout=PATIENCE)
    await eventually_async(lambda: is_serving(service), timeout=PATIENCE)
    after = await life.outcomes()
    # What was asked for before may have been done, though nobody was there to hear it.
    assert after in {Outcomes(), Outcomes(logout="SESSION_ENDED")}


def _last_seen_long_ago(server: RedisServer, login: pb.LoginResponse) -> None:
    """The next check is due to note activity, which is a write."""
    with server.client() as client:
        client.hset(keys.session(login.user.user_id, login.session_id), "last_active", 0)


async def _is_health(service: ServiceClient, healthy: bool) -> bool:
    return await is_serving(service) is healthy
