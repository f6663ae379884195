"""What the audit trail says of a change, also where the store did not say whether it was made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from session_service.domain.errors import StoreUnavailable
from session_service.domain.events import UNCONFIRMED, AuditEvent
from session_service.domain.ports import AuditLog


@contextmanager
def told_of(audit: AuditLog, event: AuditEvent) -> Iterator[None]:
    """Around a change: record it as unconfirmed if its answer is lost (ASVS 16.2.1).

    Whoever repeats the change then finds it made and records nothing: but for this, an act whose
    answer was lost would be in no trail.

    Args:
        audit: where to record it.
        event: as it would be recorded if the store had answered.
    """
    try:
        yield
    except StoreUnavailable as fault:
        if fault.maybe_done:
            audit.record(replace(event, detail=UNCONFIRMED))
        raise
