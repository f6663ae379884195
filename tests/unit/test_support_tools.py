"""Programs that a test needs: skipped aloud where they are missing, demanded in CI."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support import require_redis, require_tool


def test_a_program_on_path_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is the path of the program."""
    here = Path(sys.executable)
    monkeypatch.setenv("PATH", str(here.parent))
    assert require_tool(here.name) == here


def test_a_missing_program_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a laptop the test is skipped, and says what is missing."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program"):
        require_tool("no-such-program")


def test_a_missing_program_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """With CI=true nothing is left out."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-program"):
        require_tool("no-such-program")


def test_the_bundled_redis_is_not_taken_for_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    """An activated environment has the bundled redis-server on PATH, which makes it no second one."""
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    with pytest.raises(pytest.fail.Exception, match="no system redis-server"):
        require_redis("system")
