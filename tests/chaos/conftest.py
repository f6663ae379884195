"""Fixtures for attacks on the whole service: Redis servers to break, and services over them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import redis

from tests.support import LOOPBACK, RedisBinary, RedisServer, ServiceProcess, redis_binaries
from tests.support.in_process import ServiceUnderTest, in_process, patient_with
from tests.support.proxy import TcpProxy
from tests.support.service_client import ServiceClient, connect
from tests.support.wire import Wire

Serve: TypeAlias = Callable[..., Awaitable[ServiceUnderTest]]


@pytest.fixture(scope="session")
def one_binary() -> RedisBinary:
    """One redis-server, the system's if there is one: for what is dear and does not hang on its age."""
    return redis_binaries()[-1]


@pytest.fixture(scope="session")
def _one_server(one_binary: RedisBinary) -> Iterator[RedisServer]:
    with RedisServer(one_binary) as server:
        yield server


@pytest.fixture
def one_redis(_one_server: RedisServer) -> RedisServer:
    """A shared server of `one_binary`, emptied; never stop or pause it."""
    _one_server.flush()
    return _one_server


@pytest.fixture
def store(one_redis: RedisServer) -> Iterator[redis.Redis]:
    """A client of `one_redis` that looks behind the service's back."""
    with one_redis.client() as client:
        yield client


@pytest.fixture
def start_one_redis(one_binary: RedisBinary) -> Iterator[Callable[..., RedisServer]]:
    """A function that starts a server of the test's own, to break at will; see `start_redis`."""
    with ExitStack() as servers:

        def start(config: Mapping[str, str] | None = None) -> RedisServer:
            return servers.enter_context(RedisServer(one_binary, config))

        yield start


@pytest.fixture
async def serve(tmp_path: Path, engine: str) -> AsyncIterator[Serve]:
    """A function that serves over a Redis; a second service of the test has the same keys.

    Its first argument is the Redis, or the section that says where it is; more are further sections.
    """
    async with AsyncExitStack() as services:

        async def start(
            redis: RedisServer | Mapping[str, Any], **sections: Mapping[str, Any]
        ) -> ServiceUnderTest:
            at = {"host": LOOPBACK, "port": redis.port} if isinstance(redis, RedisServer) else redis
            return await services.enter_async_context(in_process(at, tmp_path, **sections))

        yield start


@pytest.fixture
async def serve_two(serve: Serve, one_redis: RedisServer) -> Callable[..., Awaitable[Any]]:
    """A function that starts two services over `one_redis` with the given sections."""

    async def start(**sections: Mapping[str, Any]) -> tuple[ServiceUnderTest, ServiceUnderTest]:
        at = patient_with(one_redis)
        return await serve(at, **sections), await serve(at, **sections)

    return start


@pytest.fixture
async def service(one_redis: RedisServer, serve: Serve) -> ServiceUnderTest:
    """A service over `one_redis` that takes any number of logins."""
    no_limit = dict.fromkeys(("per_account_and_address", "per_address", "per_account"), 10**6)
    return await serve(patient_with(one_redis), throttling=no_limit, passwords={"hashing_queue": 1000})


@pytest.fixture
async def wire(one_redis: RedisServer, store: redis.Redis, serve: Serve) -> AsyncIterator[Wire]:
    """A service that reaches `one_redis` through a proxy."""
    async with TcpProxy(one_redis.port) as proxy:
        at = {"host": LOOPBACK, "port": proxy.port, "connect_timeout": 10, "command_timeout": 10}
        yield Wire(await serve(at, session={"refresh_grace": 600, "max_sessions": 3}), proxy, store)


@pytest.fixture(scope="session")
def _processes(one_binary: RedisBinary) -> Iterator[Callable[[str], ServiceProcess]]:
    with ExitStack() as stack:
        started: dict[str, ServiceProcess] = {}

        def process_on(engine: str) -> ServiceProcess:
            if engine not in started:
                server = stack.enter_context(RedisServer(one_binary))
                config: dict[str, dict[str, Any]] = {
                    "redis": {"url": server.url},
                    "server": {"handshake_timeout": 1, "reflection": True, "engine": engine},
                }
                started[engine] = stack.enter_context(ServiceProcess(config))
            return started[engine]

        yield process_on


@pytest.fixture
def process(_processes: Callable[[str], ServiceProcess], engine: str) -> ServiceProcess:
    """A shared service on the test's engine, in a process of its own, which must outlive all attacks.

    A handshake may take a second.
    """
    return _processes(engine)


@pytest.fixture
async def bystander(process: ServiceProcess) -> AsyncIterator[ServiceClient]:
    """Somebody else, who was connected before and after finds the same process as ever."""
    pids = process.pid, process.worker_pids
    async with connect(process.address, process.admin_key) as client:
        yield client
        await client.verify((await client.open_session()).access_token)
    async with connect(process.address, process.admin_key) as client:
        await client.verify((await client.open_session()).access_token)
    assert (process.pid, process.worker_pids) == pids
