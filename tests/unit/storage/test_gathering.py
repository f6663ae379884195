"""Holding reads back: kept up exactly as long as it lets more calls through."""

from __future__ import annotations

import pytest

from session_service.storage.gathering import Gathering


class Load:
    """Calls that come at one rate as things are, and at another while they are held back."""

    def __init__(self) -> None:
        self.gathering = Gathering()
        self.now = 100.0

    def runs(self, seconds: float, *, usual: float, held: float) -> float:
        """Let it run for some seconds; returns the share of that time in which reads were held back."""
        end, held_back = self.now + seconds, 0.0
        while self.now < end:
            if self.gathering.holds:
                # A trip a millisecond takes whatever has come meanwhile.
                passed, calls = 0.00125, held * 0.00125
                held_back += passed
            else:
                passed, calls = 1 / usual, 1
            self.now += passed
            self.gathering.left(round(calls), self.now)
        return held_back / seconds


def test_with_many_callers_reads_are_held_back() -> None:
    """Where more calls get through by holding back, it goes on, but for the first quarter of a second."""
    load = Load()
    assert load.runs(0.25, usual=4_000, held=5_600) == 0
    assert load.runs(5, usual=4_000, held=5_600) > 0.99


def test_with_few_callers_reads_leave_at_once() -> None:
    """Where holding back makes calls wait for nothing, it takes no more than a trial now and then."""
    assert 0 < Load().runs(5, usual=4_000, held=1_600) < 0.05


def test_no_gain_is_no_reason() -> None:
    """A rate that callers set themselves is the same either way, and then nobody is made to wait."""
    assert 0 < Load().runs(5, usual=3_200, held=3_200) < 0.05


def test_a_calm_service_is_left_alone() -> None:
    """Below 2,000 calls per second nothing is ever held back, not even to try."""
    assert Load().runs(5, usual=1_900, held=5_600) == 0


def test_a_falling_load_ends_it() -> None:
    """Holding back ends within half a second once the load has gone down."""
    load = Load()
    load.runs(2, usual=4_000, held=5_600)
    assert load.gathering.holds
    load.runs(0.5, usual=1_000, held=1_000)
    assert not load.gathering.holds


def test_a_pause_is_no_low_rate() -> None:
    """After it goes on what was before it."""
    load = Load()
    load.runs(2, usual=4_000, held=5_600)
    load.now += 3_600
    assert load.runs(1, usual=4_000, held=5_600) == pytest.approx(1, abs=0.01)
    load = Load()
    load.runs(2, usual=4_000, held=1_600)
    load.now += 3_600
    assert load.runs(1, usual=4_000, held=1_600) < 0.2


def test_now_and_then_a_call_is_not_held_back() -> None:
    """Where pauses are all there is, nothing is held back after the second."""
    load = Load()
    load.runs(2, usual=4_000, held=5_600)
    for _ in range(2):
        load.now += 5
        load.gathering.left(1, load.now)
    assert not load.gathering.holds
