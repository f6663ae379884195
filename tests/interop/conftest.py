"""Fixtures for clients that are not ours: a service on each engine, and the programs in each language."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.support import RedisServer, ServiceProcess, redis_binaries
from tests.support.engines import ENGINES, services_on
from tests.support.interop import PROGRAMS, Command

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONFIG: Final[dict[str, dict[str, Any]]] = {
    "session": {"max_sessions": 1, "on_limit": "reject"},
    "throttling": {"per_account_and_address": 2},
    "authz": {"enabled": True},
}
# A store that stands still is waited for longer than any program needs to begin.
_PATIENCE: Final = {"command_timeout": 3, "connect_timeout": 3}


@pytest.fixture(scope="session")
def _redis() -> Iterator[RedisServer]:
    with RedisServer(redis_binaries()[0]) as server:
        yield server


@pytest.fixture(scope="session", params=ENGINES)
def _service(request: pytest.FixtureRequest, _redis: RedisServer) -> Iterator[ServiceProcess]:
    redis = {"url": _redis.url} | _PATIENCE
    config = _CONFIG | {"redis": redis, "server": {"reflection": True}}
    with services_on(request.param), ServiceProcess(config) as service:
        yield service


@pytest.fixture
def redis_server(_redis: RedisServer) -> RedisServer:
    """The service's Redis, emptied."""
    _redis.flush()
    return _redis


@pytest.fixture
def service(redis_server: RedisServer, _service: ServiceProcess) -> ServiceProcess:
    """A service on each engine in turn, with reflection, over an empty Redis.

    A user has one session at most, further logins are refused; after two failed ones a guesser waits.
    """
    return _service


@pytest.fixture(scope="session", params=PROGRAMS)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The program of each language in turn, built."""
    return PROGRAMS[request.param](tmp_path_factory.mktemp(request.param))
