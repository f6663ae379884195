"""Keeps the audit trail from being flushed by whoever is turned away.

A refusal costs its cause nothing and can be repeated without end; an entry for each would push
everything else out of a capped stream. So the same refusal is recorded once in a while, with
how many there were since.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from session_service.domain.events import Action, AuditEvent
from session_service.domain.ports import AuditLog, Clock

INTERVAL_SECONDS: Final = 10.0
_REFUSALS: Final = frozenset({Action.ACCESS_DENIED, Action.LOGIN_THROTTLED})
_MOST: Final = 10_000
"""Causes remembered; beyond, all are forgotten and recorded afresh."""


class RefusalsThinned:
    """An ``AuditLog`` that passes the same refusal on once per interval.

    The same is: of the same kind, for the same user, from the same address. ``detail`` of the
    next entry says how many were left out.

    Args:
        inner: keeps the events.
        clock: seconds.
    """

    def __init__(self, inner: AuditLog, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock
        self._last: dict[tuple[Action, str, str], tuple[float, int]] = {}

    def record(self, event: AuditEvent) -> None:
        """Pass the event on, unless it is a refusal that was recorded a moment ago."""
        if event.action not in _REFUSALS:
            self._inner.record(event)
            return
        cause = (event.action, event.user_id, event.actor.ip_address)
        now = self._clock()
        recorded, since = self._last.get(cause, (-INTERVAL_SECONDS, 0))
        if now - recorded < INTERVAL_SECONDS:
            self._last[cause] = (recorded, since + 1)
            return
        if len(self._last) >= _MOST:
            self._last.clear()
        self._last[cause] = (now, 0)
        self._inner.record(replace(event, detail=f"{since} more since the last") if since else event)
