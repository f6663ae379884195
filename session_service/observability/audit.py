"""The audit trail on its way to the store: each event is logged and counted as it passes."""

from __future__ import annotations

import logging

from session_service.domain.events import AuditEvent
from session_service.domain.ports import AuditLog
from session_service.observability.metrics import EventMetrics

_LOG = logging.getLogger("session_service.audit")


class WatchedAudit:
    """An ``AuditLog`` that tells the log and the metrics before it passes an event on.

    Args:
        inner: the audit log that keeps the events.
        metrics: counts them.
    """

    def __init__(self, inner: AuditLog, metrics: EventMetrics) -> None:
        self._inner = inner
        self._metrics = metrics

    def record(self, event: AuditEvent) -> None:
        """Log, count and pass on."""
        _LOG.info(event.action.value, extra=_facts(event))
        self._metrics.happened(event)
        self._inner.record(event)


def _facts(event: AuditEvent) -> dict[str, object]:
    facts = {
        "user_id": event.user_id,
        "session_id": event.session_id,
        "actor": event.actor.name,
        "ip_address": event.actor.ip_address,
        "count": event.count,
        "detail": event.detail,
    }
    return {name: value for name, value in facts.items() if value}
