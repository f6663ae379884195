"""Whether the native engine can run, and that both of its halves mean the same."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from session_service.engines.native import surface
from session_service.engines.native.availability import unavailable

_PACKAGE = "session_service_engine"


def test_where_it_is_not_installed_one_sentence_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing, and how to get it."""
    monkeypatch.setitem(sys.modules, _PACKAGE, None)
    told = unavailable()
    assert "session-service-engine" in told
    for way in ("pip install 'session-service[native]'", "make install", "apt-get install cargo-web"):
        assert way in told


@pytest.mark.parametrize(("version", "fits"), [("0.1.0", True), ("0.1.7", True), ("0.2.0", False)])
def test_its_version_must_fit(monkeypatch: pytest.MonkeyPatch, version: str, *, fits: bool) -> None:
    """Another minor version may have another surface."""
    package: Any = SimpleNamespace(__version__=version)
    monkeypatch.setitem(sys.modules, _PACKAGE, package)
    assert (unavailable() == "") is fits


@pytest.mark.parametrize("name", ["UNARY", "STREAM", "HTTP", "MESSAGES", "END", "WRITABLE", "GONE"])
def test_both_halves_name_things_alike(name: str) -> None:
    """The numbers here are the package's."""
    package = pytest.importorskip(_PACKAGE)
    assert getattr(package, name) == getattr(surface, name)
