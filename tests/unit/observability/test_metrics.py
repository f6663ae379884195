"""What is counted, under labels that no caller can multiply."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from session_service.domain.events import Action, AuditEvent
from session_service.domain.models import Stats, SweepReport
from session_service.observability.metrics import Metrics

VERIFY = "/session.v1.SessionService/VerifyToken"


class _Collected:
    """Metrics with a way to read them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry, [VERIFY])

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    def series(self, name: str) -> int:
        return sum(sample.name == name for family in self.registry.collect() for sample in family.samples)


@pytest.fixture
def collected() -> _Collected:
    """Return metrics of their own registry."""
    return _Collected()


def test_calls_are_counted_and_timed_by_method_and_reason(collected: _Collected) -> None:
    """Rate, errors and duration of an RPC come from one histogram."""
    for reason, seconds in (("OK", 0.001), ("OK", 0.003), ("SESSION_ENDED", 0.002)):
        collected.metrics.calls.call_ended(VERIFY, reason, seconds)
    labels = {"method": VERIFY[1:], "reason": "OK"}
    assert collected.value("session_rpc_duration_seconds_count", **labels) == 2
    assert collected.value("session_rpc_duration_seconds_sum", **labels) == pytest.approx(0.004)
    assert collected.value("session_rpc_duration_seconds_bucket", le="0.001", **labels) == 1
    labels["reason"] = "SESSION_ENDED"
    assert collected.value("session_rpc_duration_seconds_count", **labels) == 1


def test_no_caller_can_add_series(collected: _Collected) -> None:
    """Methods that are not served, and reasons beyond any sensible number, share one series."""
    for number in range(500):
        collected.metrics.calls.call_ended(f"/x/{number}", "OK", 0.1)
        collected.metrics.calls.call_ended(VERIFY, f"REASON_{number}", 0.1)
    assert collected.value("session_rpc_duration_seconds_count", method="other", reason="OK") == 500
    assert collected.series("session_rpc_duration_seconds_count") <= 66


def test_round_trips_are_counted_by_kind(collected: _Collected) -> None:
    """Reads and scripts, answered and not, are told apart."""
    store = collected.metrics.store
    store.read(0.001)
    store.read(0.001)
    store.script(0.002)
    store.read_failed()
    store.script_failed()
    assert collected.value("session_redis_round_trip_seconds_count", kind="read") == 2
    assert collected.value("session_redis_round_trip_seconds_sum", kind="script") == pytest.approx(0.002)
    assert collected.value("session_redis_faults_total", kind="read") == 1
    assert collected.value("session_redis_faults_total", kind="script") == 1


def test_the_hashing_queue_is_seen(collected: _Collected) -> None:
    """Depth, waits, hashes and what was shed."""
    hashing = collected.metrics.hashing
    hashing.queued(3)
    hashing.queued(2)
    hashing.hashed(0.2, 0.03)
    hashing.shed()
    assert collected.value("session_hashing_depth") == 2
    assert collected.value("session_hashing_wait_seconds_sum") == pytest.approx(0.2)
    assert collected.value("session_hashing_seconds_sum") == pytest.approx(0.03)
    assert collected.value("session_hashing_shed_total") == 1


def test_sweeps_are_counted(collected: _Collected) -> None:
    """Runs, and what they looked at and removed."""
    collected.metrics.sweeps.swept(SweepReport(scanned=10, removed=3))
    collected.metrics.sweeps.swept(SweepReport())
    assert collected.value("session_sweeps_total") == 2
    assert collected.value("session_sweep_scanned_total") == 10
    assert collected.value("session_sweep_removed_total") == 3


def test_the_totals_are_those_of_the_last_sweep(collected: _Collected) -> None:
    """Live sessions and users, as they were counted last."""
    for active, users in ((7, 3), (5, 4)):
        collected.metrics.sweeps.counted(
            Stats(active, users, counted_ms=1, created_sessions=0, ended_sessions=0)
        )
    assert collected.value("session_active") == 5
    assert collected.value("session_users") == 4


@pytest.mark.parametrize(
    ("event", "created", "ended"),
    [
        (AuditEvent(Action.LOGIN, "u", "s"), 1, 0),
        (AuditEvent(Action.SESSION_CREATED, "u", "s"), 1, 0),
        (AuditEvent(Action.LOGIN_FAILED), 0, 0),
        (AuditEvent(Action.REFRESH, "u", "s"), 0, 0),
        (AuditEvent(Action.REFRESH_REUSED, "u", "s", count=1), 0, 1),
        (AuditEvent(Action.LOGOUT, "u", "s", count=1), 0, 1),
        (AuditEvent(Action.LOGOUT_ALL, "u", count=3), 0, 3),
        (AuditEvent(Action.EVICT, "u", "s"), 0, 1),
        (AuditEvent(Action.EVICT, "u", "s", count=1), 0, 1),
        (AuditEvent(Action.USER_DISABLED, "u", count=2), 0, 2),
    ],
)
def test_an_event_is_counted_with_its_sessions(
    collected: _Collected, event: AuditEvent, created: int, ended: int
) -> None:
    """Every action has a series from the start, and the sessions it created or ended are summed."""
    collected.metrics.events.happened(event)
    assert collected.series("session_events_total") == len(Action)
    assert collected.value("session_events_total", action=event.action.value) == 1
    assert collected.value("session_created_total") == created
    assert collected.value("session_ended_total") == ended


def test_the_audit_trails_gaps_are_seen(collected: _Collected) -> None:
    """What was written and what was lost."""
    collected.metrics.events.written(5)
    collected.metrics.events.lost(2)
    assert collected.value("session_audit_written_total") == 5
    assert collected.value("session_audit_lost_total") == 2
