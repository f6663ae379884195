"""Fixtures shared by all tests; `tests/support/__init__.py` says how to use them."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support import (
    CertificateAuthority,
    RedisBinary,
    RedisCluster,
    RedisOrigin,
    RedisServer,
    ServiceProcess,
    require_redis,
)
from tests.support.engines import ENGINES, services_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any


# A shell's job in the background ignores Ctrl-C, and so would every program that is started here.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """The engine that services of the test run on: each test that uses it runs on both."""
    with services_on(request.param) as chosen:
        yield chosen


@pytest.fixture(scope="session", params=["bundled", "system"])
def redis_binary(request: pytest.FixtureRequest) -> RedisBinary:
    """The redis-server program under test: the bundled one, then the system's."""
    origin: RedisOrigin = request.param
    return require_redis(origin)


@pytest.fixture(scope="session")
def _shared_server(redis_binary: RedisBinary) -> Iterator[RedisServer]:
    with RedisServer(redis_binary) as server:
        yield server


@pytest.fixture(scope="session")
def _shared_cluster(redis_binary: RedisBinary) -> Iterator[RedisCluster]:
    with RedisCluster(redis_binary) as cluster:
        yield cluster


@pytest.fixture
def redis_server(_shared_server: RedisServer) -> RedisServer:
    """The shared server, emptied; a test that breaks its server uses `start_redis` instead."""
    _shared_server.flush()
    return _shared_server


@pytest.fixture
def redis_cluster(_shared_cluster: RedisCluster) -> RedisCluster:
    """The shared cluster of three primaries, emptied."""
    _shared_cluster.flush()
    return _shared_cluster


@pytest.fixture
def start_redis(redis_binary: RedisBinary) -> Iterator[Callable[..., RedisServer]]:
    """A function that starts a server of the test's own with the given configuration."""
    with ExitStack() as servers:

        def start(config: Mapping[str, str] | None = None) -> RedisServer:
            return servers.enter_context(RedisServer(redis_binary, config))

        yield start


@pytest.fixture(scope="session")
def _shared_service(_shared_server: RedisServer) -> Iterator[ServiceProcess]:
    with ServiceProcess({"redis": {"url": _shared_server.url}}) as service:
        yield service


@pytest.fixture
def service_process(redis_server: RedisServer, _shared_service: ServiceProcess) -> ServiceProcess:
    """The shared service over `redis_server`, which is emptied; a test that ends it uses `start_service`."""
    return _shared_service


@pytest.fixture
def start_service(redis_server: RedisServer) -> Iterator[Callable[..., ServiceProcess]]:
    """A function that starts a service of the test's own over `redis_server`, if it names no other Redis."""
    with ExitStack() as services:

        def start(config: Mapping[str, Mapping[str, Any]] | None = None, *arguments: str) -> ServiceProcess:
            sections = {"redis": {"url": redis_server.url}} | dict(config or {})
            return services.enter_context(ServiceProcess(sections, arguments=arguments))

        yield start


@pytest.fixture
def dev_service(engine: str) -> Iterator[ServiceProcess]:
    """A service in development mode, in a directory of its own."""
    with ServiceProcess(dev=True) as service:
        yield service


@pytest.fixture
def start_cluster(redis_binary: RedisBinary) -> Iterator[Callable[..., RedisCluster]]:
    """A function that starts a cluster of the test's own with the given configuration."""
    with ExitStack() as clusters:

        def start(config: Mapping[str, str] | None = None) -> RedisCluster:
            return clusters.enter_context(RedisCluster(redis_binary, config))

        yield start


@pytest.fixture(scope="session")
def certificate_authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """An authority whose certificates all TLS tests of the session trust."""
    return CertificateAuthority(tmp_path_factory.mktemp("certificates"))
