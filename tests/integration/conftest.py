"""Fixtures for tests that go through the whole service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support import RedisServer, ServiceProcess, redis_binaries
from tests.support.engines import ENGINES, services_on
from tests.support.in_process import ServiceUnderTest, in_process
from tests.support.rest import RestClient, rest_service


@pytest.fixture
async def service(redis_server: RedisServer, tmp_path: Path, engine: str) -> AsyncIterator[ServiceUnderTest]:
    """The service with its defaults, over an empty Redis."""
    async with in_process({"port": redis_server.port, "host": "127.0.0.1"}, tmp_path) as running:
        yield running


@pytest.fixture(scope="session")
def _one_redis() -> Iterator[RedisServer]:
    with RedisServer(redis_binaries()[0]) as server:
        yield server


@pytest.fixture
def one_redis(_one_redis: RedisServer) -> RedisServer:
    """A server, emptied, for tests of processes: which Redis it is makes no difference to them."""
    _one_redis.flush()
    return _one_redis


@pytest.fixture
def start(one_redis: RedisServer) -> Iterator[Callable[..., ServiceProcess]]:
    """A function that starts a service over `one_redis`; sections and arguments as for `ServiceProcess`."""
    with ExitStack() as services:

        def start(*arguments: str, **sections: Mapping[str, Any]) -> ServiceProcess:
            config = {"redis": {"url": one_redis.url}} | sections
            return services.enter_context(ServiceProcess(config, arguments=arguments))

        yield start


@pytest.fixture(scope="module", params=ENGINES)
def rest(request: pytest.FixtureRequest) -> Iterator[RestClient]:
    """A service on either engine with a Redis of its own, to be called by REST; the module's."""
    with services_on(request.param), rest_service() as client:
        yield client
