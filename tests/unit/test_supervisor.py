"""Which engine is served with."""

from __future__ import annotations

import logging

import pytest

from session_service.config import Config, ConfigError
from session_service.config.sections import Engine
from session_service.engines.native import availability
from session_service.supervisor import engine_of

PROBLEM = "the package is not installed"


def configured(engine: str) -> Config:
    """A configuration that asks for an engine."""
    return Config.model_validate({"server": {"engine": engine}})


@pytest.fixture
def _cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "unavailable", lambda: PROBLEM)


@pytest.mark.parametrize("asked", ["auto", "native"])
def test_the_native_engine_is_taken_where_it_runs(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    """By itself too."""
    monkeypatch.setattr(availability, "unavailable", lambda: "")
    assert engine_of(configured(asked)) is Engine.NATIVE


@pytest.mark.usefixtures("_cannot_run")
def test_without_it_grpc_aio_serves_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    """The reason is in the log."""
    with caplog.at_level(logging.INFO):
        assert engine_of(configured("auto")) is Engine.GRPC_AIO
    [record] = [each for each in caplog.records if each.message == "serving with grpc.aio"]
    assert getattr(record, "reason", None) == PROBLEM


@pytest.mark.usefixtures("_cannot_run")
def test_an_engine_that_was_asked_for_and_cannot_run_is_an_error() -> None:
    """Nothing else is served instead; the key is named."""
    with pytest.raises(ConfigError, match=rf"^server\.engine: native cannot run here: {PROBLEM}$"):
        engine_of(configured("native"))


@pytest.mark.usefixtures("_cannot_run")
def test_grpc_aio_needs_no_word_of_the_native_engine(caplog: pytest.LogCaptureFixture) -> None:
    """What was not asked for is not looked for."""
    with caplog.at_level(logging.INFO):
        assert engine_of(configured("grpc-aio")) is Engine.GRPC_AIO
    assert not caplog.records
