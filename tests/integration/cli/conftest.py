"""Fixtures for tests of the command line."""

from __future__ import annotations

import pytest

from tests.support import RedisServer
from tests.support.command_line import Commands


@pytest.fixture
def commands(redis_server: RedisServer) -> Commands:
    """Commands over an empty Redis."""
    return Commands({"SESSION_REDIS__URL": redis_server.url})
