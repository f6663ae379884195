"""Log lines: one per event, complete, in UTC, unforgeable, without secrets."""

from __future__ import annotations

import io
import json
import logging
import re
import warnings
from typing import TYPE_CHECKING, Literal, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_service.observability.logs import ConsoleFormatter, JsonFormatter, configure_logging

if TYPE_CHECKING:
    from collections.abc import Iterator

LOG = logging.getLogger("tests.logs")


@pytest.fixture(autouse=True)
def _logging_put_back() -> Iterator[None]:
    """Leave logging as it was found."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    logging.captureWarnings(capture=False)


def _written(style: Literal["json", "console"], level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    configure_logging(style, level, stream)
    return stream


def _record(message: str, **facts: object) -> logging.LogRecord:
    record = logging.makeLogRecord({"name": "n", "levelname": "INFO", "msg": message, "created": 1.234})
    vars(record).update(facts)
    return record


def _failing() -> NoReturn:
    raise ValueError("redis://u:hunter2@h\nforged \x1b[31m line")


def test_a_json_line_holds_the_event_and_its_facts() -> None:
    """One object a line: time in UTC, level, logger, process, event, facts as they are."""
    stream = _written("json")
    LOG.info("session ended", extra={"user_id": "u1", "count": 2, "kept": None})
    line = json.loads(stream.getvalue())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert isinstance(line.pop("pid"), int)
    assert line == {
        "level": "info",
        "logger": "tests.logs",
        "event": "session ended",
        "user_id": "u1",
        "count": 2,
        "kept": None,
    }


def test_times_are_utc() -> None:
    """The instant is written in UTC whatever the machine's zone."""
    assert json.loads(JsonFormatter().format(_record("x")))["time"] == "1970-01-01T00:00:01.234Z"
    assert ConsoleFormatter().format(_record("x")) == "1970-01-01T00:00:01.234Z INFO    x"


def test_a_console_line_reads_well() -> None:
    """Facts follow the event; only what needs quotes has them."""
    line = ConsoleFormatter().format(_record("login", user_id="u1", agent="a b", empty="", n=1, quoted='a"b'))
    assert line.endswith(' INFO    login user_id=u1 agent="a b" empty="" n=1 quoted="a\\"b"')


def test_the_traceback_is_kept() -> None:
    """An unforeseen error can be found: JSON has the whole traceback, the console sets it in below."""
    for style in ("json", "console"):
        stream = _written(style)
        try:
            _failing()
        except ValueError:
            LOG.exception("call failed", extra={"method": "m"})
        text = stream.getvalue()
        assert "in _failing" in text
        assert "hunter2" not in text
        assert "\x1b" not in text


@pytest.mark.parametrize("style", ["json", "console"])
def test_no_secret_is_written(style: Literal["json", "console"]) -> None:
    """Neither a fact, nor an argument, nor the message itself lets a secret through."""
    stream = _written(style)
    key = "ssk_" + "k" * 43
    LOG.info("key %s", key, extra={"password": "hunter2", "nested": {"token": "hunter2", "text": key}})
    LOG.info(f"key {key}")  # noqa: G004 - what careless code does
    assert "hunter2" not in stream.getvalue()
    assert key not in stream.getvalue()


@given(message=st.text(), name=st.text(min_size=1), value=st.text())
def test_no_input_can_begin_a_line(message: str, name: str, value: str) -> None:
    """Neither message, name nor value brings a line break or control character along (ASVS 16.4.1)."""
    record = _record(message.replace("%", "%%"), **{f"fact {name}": value})
    for formatter in (JsonFormatter(), ConsoleFormatter()):
        line = formatter.format(record)
        assert len(line.splitlines()) == 1
        assert line.isprintable()
        line.encode()


def test_no_exception_can_forge_a_line() -> None:
    """A line break in an exception's text stays within the traceback, which is set in."""
    stream = _written("console")
    try:
        _failing()
    except ValueError:
        LOG.exception("boom")
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("ERROR   boom")
    assert all(line.startswith("    | ") for line in rest)


def test_the_level_is_the_least_written() -> None:
    """What is below the level is left out, what reaches it is written."""
    stream = _written("console", "warning")
    LOG.info("left out")
    LOG.warning("written")
    assert "left out" not in stream.getvalue()
    assert "written" in stream.getvalue()


def test_configuring_again_replaces() -> None:
    """A second call moves the log, and no line is written twice."""
    first, second = _written("json"), _written("json")
    LOG.info("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("\n") == 1


def test_warnings_are_logged() -> None:
    """What libraries warn of ends up in the log, not as free text beside it."""
    stream = _written("json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("beware", UserWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    assert "beware" in json.loads(stream.getvalue())["event"]
