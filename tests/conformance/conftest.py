"""Each test here runs over every kind of Redis that the stores support, and over fakeredis."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from session_service.storage.settings import RedisSettings
from tests.support import RedisCluster, RedisServer, require_redis
from tests.support.stores import FakeConnections, Store, open_connections

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

ENGINES = ("fake", "redis-6.2", "redis-7", "cluster")
# In seconds; the machine may be busy, and no test here is about time-outs.
PATIENCE = 10.0


class Engines:
    """The servers, each started when first needed."""

    def __init__(self) -> None:
        self._started: dict[str, RedisServer | RedisCluster] = {}

    def settings(self, engine: str) -> RedisSettings:
        """Where the engine is, emptied."""
        server = self._started.get(engine) or self._start(engine)
        server.flush()
        if isinstance(server, RedisCluster):
            settings = RedisSettings(cluster=server.addresses)
        else:
            settings = RedisSettings(unix_socket_path=str(server.socket_path))
        return replace(settings, connect_timeout=PATIENCE, command_timeout=PATIENCE)

    def _start(self, engine: str) -> RedisServer | RedisCluster:
        binary = require_redis("bundled" if engine == "redis-6.2" else "system")
        server = RedisCluster(binary) if engine == "cluster" else RedisServer(binary)
        server.start()
        self._started[engine] = server
        return server

    def close(self) -> None:
        """End them all."""
        for server in self._started.values():
            server.close()


@pytest.fixture(scope="session")
def engines() -> Iterator[Engines]:
    """The servers of this run."""
    engines = Engines()
    yield engines
    engines.close()


@pytest.fixture(params=ENGINES)
async def store(request: pytest.FixtureRequest, engines: Engines) -> AsyncIterator[Store]:
    """All stores over an empty Redis."""
    engine: str = request.param
    connections = FakeConnections() if engine == "fake" else await open_connections(engines.settings(engine))
    yield Store(connections.client, connections)
    await connections.close()


@pytest.fixture(params=[engine for engine in ENGINES if engine != "fake"])
async def real_store(request: pytest.FixtureRequest, engines: Engines) -> AsyncIterator[Store]:
    """All stores over an empty Redis that can track keys, as fakeredis cannot."""
    connections = await open_connections(engines.settings(request.param))
    yield Store(connections.client, connections)
    await connections.close()
