"""A tally comes to what the library's own histogram would have counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from session_service.observability.tallies import Tallies, Tally

BOUNDS = (0.001, 0.01, 0.1)
AMOUNTS = st.lists(st.one_of(st.sampled_from(BOUNDS), st.floats(0, 1)), max_size=30)


def _samples(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels.get("le", "")): sample.value
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@given(AMOUNTS, AMOUNTS)
def test_every_collection_shows_what_observing_at_once_would(first: list[float], second: list[float]) -> None:
    """Buckets, count and sum are the same, at the first collection and at a later one."""
    plain, tallied = CollectorRegistry(), CollectorRegistry()
    expected = Histogram("h", "doc", registry=plain, buckets=BOUNDS)
    tallies = Tallies(tallied)
    tally = tallies.tally(Histogram("h", "doc", registry=tallied, buckets=BOUNDS), BOUNDS)
    for amounts in (first, second):
        for amount in amounts:
            expected.observe(amount)
            tally.observe(amount)
        shown, wanted = _samples(tallied), _samples(plain)
        assert shown.keys() == wanted.keys()
        assert all(abs(shown[key] - wanted[key]) < 1e-9 for key in wanted)


def test_nothing_is_counted_twice() -> None:
    """What was moved over is not moved again."""
    registry = CollectorRegistry()
    tallies = Tallies(registry)
    tallies.tally(Histogram("h", "doc", registry=registry, buckets=BOUNDS), BOUNDS).observe(0.5)
    tallies.flush()
    tallies.flush()
    assert registry.get_sample_value("h_count") == 1
    assert registry.get_sample_value("h_count") == 1


def test_what_is_observed_meanwhile_is_for_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that collects takes nothing away from the one that counts."""
    registry = CollectorRegistry()
    series = Histogram("h", "doc", registry=registry, buckets=BOUNDS)
    tally = Tally(series, BOUNDS)
    add = series._sum.inc

    def observe_meanwhile(amount: float) -> None:
        tally.observe(0.5)
        add(amount)

    tally.observe(0.25)
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(series._sum, "inc", observe_meanwhile)
        tally.flush()
    assert (registry.get_sample_value("h_count"), registry.get_sample_value("h_sum")) == (1, 0.25)
    tally.flush()
    assert (registry.get_sample_value("h_count"), registry.get_sample_value("h_sum")) == (2, 0.75)
