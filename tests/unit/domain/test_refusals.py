"""Refusals do not flush the audit trail, and none goes untold."""

from __future__ import annotations

from session_service.domain.events import Action, Actor, AuditEvent
from session_service.domain.refusals import INTERVAL_SECONDS, RefusalsThinned


class Kept:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []

    def record(self, event: AuditEvent) -> None:
        """Keep it."""
        self.events.append(event)


def _denied(address: str = "192.0.2.1") -> AuditEvent:
    return AuditEvent(Action.ACCESS_DENIED, actor=Actor("", address))


def test_the_same_refusal_is_told_once_per_interval_with_its_number() -> None:
    """A flood makes one entry now, and one later that says how many there were."""
    kept, now = Kept(), [1000.0]
    audit = RefusalsThinned(kept, lambda: now[0])
    for _ in range(500):
        audit.record(_denied())
    assert [event.detail for event in kept.events] == [""]
    now[0] += INTERVAL_SECONDS
    audit.record(_denied())
    assert [event.detail for event in kept.events] == ["", "499 more since the last"]


def test_another_cause_and_every_other_event_is_told_at_once() -> None:
    """Another address, another kind and what is no refusal pass each time."""
    kept = Kept()
    audit = RefusalsThinned(kept, lambda: 1000.0)
    audit.record(_denied("192.0.2.1"))
    audit.record(_denied("192.0.2.2"))
    audit.record(AuditEvent(Action.LOGIN_THROTTLED, actor=Actor("", "192.0.2.1")))
    for _ in range(3):
        audit.record(AuditEvent(Action.LOGIN_FAILED, actor=Actor("", "192.0.2.1")))
    assert len(kept.events) == 6


def test_a_flood_from_everywhere_is_remembered_in_bounded_space() -> None:
    """However many causes there are, what is kept of them is bounded."""
    audit = RefusalsThinned(Kept(), lambda: 1000.0)
    for number in range(25_000):
        audit.record(_denied(str(number)))
    assert len(audit._last) <= 10_000
