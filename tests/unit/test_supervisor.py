"""Which engine is served with."""

from __future__ import annotations

import logging

import pytest

from session_service import envoy_binary
from session_service.config import Config, ConfigError
from session_service.config.sections import Engine
from session_service.supervisor import engine_of

PROBLEM = "this Python was built without a shared libpython"


def configured(engine: str) -> Config:
    """A configuration that asks for an engine."""
    return Config.model_validate({"server": {"engine": engine}})


@pytest.fixture
def _cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envoy_binary, "unavailable", lambda: PROBLEM)


@pytest.mark.parametrize("asked", ["auto", "envoy"])
def test_envoy_is_taken_where_it_runs(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    """By itself too."""
    monkeypatch.setattr(envoy_binary, "unavailable", lambda: "")
    assert engine_of(configured(asked)) is Engine.ENVOY


@pytest.mark.usefixtures("_cannot_run")
def test_without_it_grpc_aio_serves_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    """The reason is in the log."""
    with caplog.at_level(logging.INFO):
        assert engine_of(configured("auto")) is Engine.GRPC_AIO
    [record] = [each for each in caplog.records if each.message == "serving with grpc.aio"]
    assert getattr(record, "reason", None) == PROBLEM


@pytest.mark.usefixtures("_cannot_run")
def test_who_asks_for_envoy_is_told_that_it_cannot_run() -> None:
    """Nothing else is served instead; the key is named."""
    with pytest.raises(ConfigError, match=rf"^server\.engine: envoy cannot run here: {PROBLEM}$"):
        engine_of(configured("envoy"))


@pytest.mark.usefixtures("_cannot_run")
def test_who_asks_for_grpc_aio_hears_nothing_of_envoy(caplog: pytest.LogCaptureFixture) -> None:
    """What was not asked for is not looked for."""
    with caplog.at_level(logging.INFO):
        assert engine_of(configured("grpc-aio")) is Engine.GRPC_AIO
    assert not caplog.records
