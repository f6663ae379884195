"""Holding reads back: kept up exactly as long as it lets more calls through."""

from __future__ import annotations

import random

import pytest

from session_service.storage.gathering import Gathering

_TRIP = 0.00125
"""Seconds between trips while reads are held back."""


class Load:
    """Calls that come at random, at one rate as things are and at another while they are held back."""

    def __init__(self, seed: int = 1) -> None:
        self.gathering = Gathering()
        self.now = 100.0
        self._random = random.Random(seed)  # noqa: S311 - chance, no secret

    def runs(self, seconds: float, *, usual: float, held: float) -> float:
        """Let it run for some seconds; returns the share of that time in which reads were held back."""
        end, held_back, next_trip = self.now + seconds, 0.0, 0.0
        waiting = 0
        while self.now < end:
            holds = self.gathering.holds
            passed = self._random.expovariate(held if holds else usual)
            self.now += passed
            waiting += 1
            if holds:
                held_back += passed
                next_trip = next_trip or self.now + _TRIP
                if self.now < next_trip:
                    continue
            self.gathering.left(waiting, self.now)
            waiting, next_trip = 0, 0.0
        return held_back / seconds


@pytest.mark.parametrize("seed", range(5))
def test_with_many_callers_reads_are_held_back(seed: int) -> None:
    """Where many more calls get through by holding back, it goes on, but for a look now and then."""
    load = Load(seed)
    assert load.runs(0.2, usual=4_000, held=5_800) < 0.6
    assert load.runs(10, usual=4_000, held=5_800) > 0.9


@pytest.mark.parametrize("seed", range(5))
def test_with_few_callers_reads_leave_at_once(seed: int) -> None:
    """Where holding back makes calls wait for nothing, it takes no more than a trial ever more rarely."""
    load = Load(seed)
    load.runs(10, usual=4_000, held=1_600)
    assert load.runs(20, usual=4_000, held=1_600) < 0.03


@pytest.mark.parametrize("rate", [2_200, 3_200, 5_000, 8_000])
@pytest.mark.parametrize("seed", range(5))
def test_no_gain_is_no_reason(seed: int, rate: float) -> None:
    """A rate that callers set themselves is the same either way: chance alone makes nobody wait."""
    load = Load(seed)
    load.runs(10, usual=rate, held=rate)
    assert load.runs(20, usual=rate, held=rate) < 0.03


def test_a_calm_service_is_left_alone() -> None:
    """Well below 2,000 calls per second nothing is ever held back, not even to try."""
    assert Load().runs(5, usual=1_500, held=5_600) == 0


@pytest.mark.parametrize("rate", [1_000, 3_000, 6_000])
def test_what_was_better_once_is_looked_at_again(rate: float) -> None:
    """Whatever rate the load goes to, holding back ends within seconds where it gains nothing any more."""
    load = Load()
    load.runs(2, usual=4_000, held=5_800)
    assert load.gathering.holds
    load.runs(3, usual=rate, held=rate)
    assert load.runs(20, usual=rate, held=rate) < 0.1


def test_after_a_pause_it_is_found_out_anew() -> None:
    """What came before it, and the pause itself, say nothing."""
    load = Load()
    load.runs(2, usual=4_000, held=5_800)
    load.now += 3_600
    load.gathering.left(1, load.now)
    assert not load.gathering.holds
    assert load.runs(2, usual=4_000, held=5_800) > 0.8


def test_a_trial_that_is_cut_off_is_over() -> None:
    """Reads that come now and then are not held back by one that never ends."""
    load = Load()
    while not load.gathering.holds:
        load.runs(0.01, usual=4_000, held=5_800)
    load.now += 0.5
    load.gathering.left(1, load.now)
    assert not load.gathering.holds
