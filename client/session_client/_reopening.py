"""How long a verifier waits before it opens its stream again, and what it logs meanwhile."""

from __future__ import annotations

import logging
import random
from typing import Final

_LOG: Final = logging.getLogger("session_client")

SHORTEST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 5.0
"""Seconds; also how long a stream must have lived for the next pause to be the shortest again."""

_UNIMPLEMENTED: Final = "UNIMPLEMENTED"
_WATCHING: Final = "watching tokens: checks may be answered from memory"
_INTERRUPTED: Final = "the stream that watches tokens has ended (%s), opening another: every check is a call"
_AWAY: Final = "tokens cannot be watched (%s): every check is a call"
_TOO_OLD: Final = "the service is too old to watch tokens (%s): every check is a call"


class Reopening:
    """Pauses between streams, doubled from one to the next, and a line of log whenever the state changes."""

    def __init__(self) -> None:
        self._failures = 0
        self._said = ""

    def confirmed(self) -> None:
        """The stream works."""
        self._say(logging.INFO, _WATCHING)

    def pause(self, lived: float, code: str, *, was_confirmed: bool) -> float:
        """The seconds to wait before the next stream.

        Args:
            lived: how long the last one lived, seconds.
            code: the name of the status that it ended with.
            was_confirmed: whether it ever worked.
        """
        if code == _UNIMPLEMENTED:
            self._say(logging.WARNING, _TOO_OLD, code)
            return _jittered(LONGEST_PAUSE)
        if was_confirmed:
            self._say(logging.INFO, _INTERRUPTED, code)
        else:
            self._say(logging.WARNING, _AWAY, code)
        if was_confirmed and lived >= LONGEST_PAUSE:
            self._failures = 0
        seconds = _jittered(min(SHORTEST_PAUSE * 2**self._failures, LONGEST_PAUSE))
        # Ten doublings are beyond the longest pause; a number that went on would not end as a float.
        self._failures = min(self._failures + 1, 10)
        return seconds

    def _say(self, level: int, text: str, *values: str) -> None:
        if text != self._said:
            self._said = text
            _LOG.log(level, text, *values)


def _jittered(seconds: float) -> float:
    # Between half and all of it: clients that lost one server do not all come back at one moment.
    return seconds * random.uniform(0.5, 1)  # noqa: S311 - nothing secret
