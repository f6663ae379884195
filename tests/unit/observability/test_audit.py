"""An audit event on its way to the store is logged and counted."""

from __future__ import annotations

import logging

import pytest
from prometheus_client import CollectorRegistry

from session_service.domain.events import Action, Actor, AuditEvent
from session_service.domain.ports import AuditLog
from session_service.observability.audit import WatchedAudit
from session_service.observability.metrics import EventMetrics


class _Kept:
    def __init__(self) -> None:
        self.events: list[AuditEvent] = []

    def record(self, event: AuditEvent) -> None:
        self.events.append(event)


def test_an_event_is_logged_counted_and_kept(caplog: pytest.LogCaptureFixture) -> None:
    """One line with the ids that are known, one count, and the event itself goes on unchanged."""
    registry, kept = CollectorRegistry(), _Kept()
    audit: AuditLog = WatchedAudit(kept, EventMetrics(registry))
    event = AuditEvent(Action.REVOKE, "u1", "s1", Actor("service:ops", "192.0.2.1"), 1)
    with caplog.at_level(logging.INFO, "session_service.audit"):
        audit.record(event)
    (record,) = caplog.records
    facts = {
        name: getattr(record, name) for name in ("user_id", "session_id", "actor", "ip_address", "count")
    }
    assert record.getMessage() == "revoke"
    assert facts == {
        "user_id": "u1",
        "session_id": "s1",
        "actor": "service:ops",
        "ip_address": "192.0.2.1",
        "count": 1,
    }
    assert not hasattr(record, "detail")
    assert kept.events == [event]
    assert registry.get_sample_value("session_events_total", {"action": "revoke"}) == 1


def test_every_action_can_be_recorded() -> None:
    """No action is unknown to the log or the metrics."""
    kept = _Kept()
    audit = WatchedAudit(kept, EventMetrics(CollectorRegistry()))
    for action in Action:
        audit.record(AuditEvent(action))
    assert [event.action for event in kept.events] == list(Action)
