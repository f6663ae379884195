"""Connections to the Redis under test, closed when the test ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import pytest
import uvloop

from session_service.storage.connections import RedisConnections
from session_service.storage.link import Link
from session_service.storage.settings import RedisSettings
from tests.integration.storage.links import TIMEOUT, OpenLink, Told, connection_to

Connect = Callable[[RedisSettings], Awaitable[RedisConnections]]

_ON_BOTH_LOOPS = {"test_link", "test_link_pushes", "test_channel", "test_tls"}


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run what is close to the transport on both event loops, the rest on the one used in production."""
    loops = {"uvloop": uvloop.new_event_loop}
    return loops | ({"asyncio": asyncio.new_event_loop} if item.path.stem in _ON_BOTH_LOOPS else {})


@pytest.fixture
async def make_connections() -> AsyncIterator[Callable[[RedisSettings], RedisConnections]]:
    """A function that makes connections of the given settings, to be opened by the test."""
    made: list[RedisConnections] = []

    def make(settings: RedisSettings) -> RedisConnections:
        made.append(RedisConnections(settings))
        return made[-1]

    yield make
    for connections in made:
        await connections.close()


@pytest.fixture
async def connect(make_connections: Callable[[RedisSettings], RedisConnections]) -> Connect:
    """A function that opens connections of the given settings."""

    async def connect(settings: RedisSettings) -> RedisConnections:
        connections = make_connections(settings)
        await connections.open()
        return connections

    return connect


@pytest.fixture
def told() -> Told:
    """What the test's links say unasked."""
    return Told()


@pytest.fixture
async def open_link(told: Told) -> AsyncIterator[OpenLink]:
    """A function that opens a link to a port."""
    links: list[Link] = []

    async def open_link(port: int) -> Link:
        links.append(Link(await connection_to(port), TIMEOUT, told))
        return links[-1]

    yield open_link
    for link in links:
        link.drop("the test is over")
