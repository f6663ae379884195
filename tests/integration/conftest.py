"""Fixtures for tests that go through the whole service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support import RedisServer
from tests.support.in_process import ServiceUnderTest, in_process


@pytest.fixture
async def service(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[ServiceUnderTest]:
    """The service with its defaults, over an empty Redis."""
    async with in_process({"port": redis_server.port, "host": "127.0.0.1"}, tmp_path) as running:
        yield running
