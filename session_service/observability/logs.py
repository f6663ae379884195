"""Structured logs: one line per event, as JSON or for reading on a console.

A message names an event (``session revoked``), its facts are fields: ``extra={"user_id": ...}``.
Times are UTC (ASVS 16.2.2); no input can begin a line of its own (ASVS 16.4.1).
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from functools import lru_cache
from typing import IO, Literal

from session_service.observability.redaction import redact, redact_text

# Made once: ``json.dumps`` makes one for each line that has a ``default``.
_ENCODE = json.JSONEncoder(default=str).encode
_NOT_FACTS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure_logging(style: Literal["json", "console"], level: str, stream: IO[str] | None = None) -> None:
    """Send every log line of the process to one stream; repeating it replaces what was set.

    Args:
        style: ``json`` for machines, ``console`` for people.
        level: ``debug``, ``info``, ``warning`` or ``error``.
        stream: where to; ``None`` = standard error.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else ConsoleFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, pid, event, the facts, the exception if any."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, in ASCII."""
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "event": redact_text(record.getMessage()),
            **_facts(record),
        }
        if record.exc_info:
            line["exception"] = redact_text(self.formatException(record.exc_info))
        return _ENCODE(line)


class ConsoleFormatter(logging.Formatter):
    """``time LEVEL event key=value ...``; a traceback follows, each line set in."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, control characters escaped."""
        facts = "".join(f" {_visible(key)}={_shown(value)}" for key, value in _facts(record).items())
        event = _visible(redact_text(record.getMessage()))
        line = f"{_time(record)} {record.levelname:<7} {event}{facts}"
        if not record.exc_info:
            return line
        traceback = redact_text(self.formatException(record.exc_info)).split("\n")
        return "\n".join([line, *(f"    | {_visible(each)}" for each in traceback)])


def _time(record: logging.LogRecord) -> str:
    return f"{_second(int(record.created))}.{int(record.created * 1000) % 1000:03d}Z"


@lru_cache(maxsize=16)
def _second(instant: int) -> str:
    return datetime.fromtimestamp(instant, UTC).isoformat(timespec="seconds").removesuffix("+00:00")


def _facts(record: logging.LogRecord) -> dict[str, object]:
    return {name: redact(name, value) for name, value in vars(record).items() if name not in _NOT_FACTS}


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    visible = _visible(text)
    return visible if visible and visible == text and not set(' "=') & set(visible) else json.dumps(text)


def _visible(text: str) -> str:
    """The text with whatever does not print (line breaks, escapes, bidirectional marks) spelled out."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()
