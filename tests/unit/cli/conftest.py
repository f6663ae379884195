"""Fixtures for tests of commands that need no Redis."""

from __future__ import annotations

import pytest

from tests.support.command_line import Commands


@pytest.fixture
def commands() -> Commands:
    """Commands with nothing configured."""
    return Commands({})
