"""Streams are opened again soon, but not by all at once nor without end, and the log says what changes."""

from __future__ import annotations

import logging

import pytest
from session_client._reopening import LONGEST_PAUSE, SHORTEST_PAUSE, Reopening


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The log shows what is for information too."""
    caplog.set_level(logging.INFO, "session_client")


def test_pauses_double_up_to_the_longest() -> None:
    """Each pause is between half and all of a value that doubles, to 5 seconds, however long that goes on."""
    reopening = Reopening()
    for number in range(3_000):
        longest = min(SHORTEST_PAUSE * 2 ** min(number, 20), LONGEST_PAUSE)
        assert longest / 2 <= reopening.pause(0.0, "UNAVAILABLE", was_confirmed=False) <= longest


def test_pauses_differ() -> None:
    """Clients that lose a server at one moment do not come back at one moment."""
    assert len({Reopening().pause(9.0, "UNAVAILABLE", was_confirmed=True) for _ in range(20)}) > 1


def test_a_stream_that_worked_for_a_while_is_replaced_at_once() -> None:
    """After it the pauses begin anew; after one that ended soon, or never worked, they do not."""
    reopening = Reopening()
    for _ in range(20):
        reopening.pause(0.0, "UNAVAILABLE", was_confirmed=False)
    assert reopening.pause(1.0, "UNAVAILABLE", was_confirmed=True) > SHORTEST_PAUSE
    assert reopening.pause(60.0, "UNAVAILABLE", was_confirmed=False) > SHORTEST_PAUSE
    assert reopening.pause(LONGEST_PAUSE, "UNAVAILABLE", was_confirmed=True) <= SHORTEST_PAUSE


def test_a_service_that_is_too_old_is_left_alone() -> None:
    """It is asked again only after the longest pause, from the first time on."""
    assert Reopening().pause(0.0, "UNIMPLEMENTED", was_confirmed=False) >= LONGEST_PAUSE / 2


def test_each_change_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A line when it works, when it is interrupted, and when it stays away: not one for each attempt."""
    reopening = Reopening()
    for _ in range(3):
        reopening.confirmed()
    reopening.pause(9.0, "CANCELLED", was_confirmed=True)
    for _ in range(3):
        reopening.pause(0.0, "UNAVAILABLE", was_confirmed=False)
    reopening.pause(0.0, "UNIMPLEMENTED", was_confirmed=False)
    reopening.confirmed()

    lines = [(record.levelname, record.getMessage().partition(":")[0]) for record in caplog.records]
    assert lines == [
        ("INFO", "watching tokens"),
        ("INFO", "the stream that watches tokens has ended (CANCELLED), opening another"),
        ("WARNING", "tokens cannot be watched (UNAVAILABLE)"),
        ("WARNING", "the service is too old to watch tokens (UNIMPLEMENTED)"),
        ("INFO", "watching tokens"),
    ]
