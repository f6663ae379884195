"""A change whose answer is lost is in the audit trail, marked as unconfirmed; any other failure is not."""

from __future__ import annotations

import pytest

from session_service.domain.errors import SessionEnded, SessionServiceError, StoreUnavailable
from session_service.domain.events import Action, Actor, AuditEvent
from session_service.domain.trail import told_of

EVENT = AuditEvent(Action.LOGOUT, "ada", "s-1", Actor("user:ada", "192.0.2.1"), 1)


class Trail:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []

    def record(self, event: AuditEvent) -> None:
        """Keep an event."""
        self.events.append(event)


def test_a_lost_answer_is_recorded() -> None:
    """The event is the one that the change would have had, but for its detail."""
    trail = Trail()
    with pytest.raises(StoreUnavailable), told_of(trail, EVENT):
        raise StoreUnavailable(maybe_done=True)
    [event] = trail.events
    assert (event.action, event.user_id, event.session_id) == (EVENT.action, "ada", "s-1")
    assert (event.actor, event.detail, event.confirmed) == (EVENT.actor, "unconfirmed", False)


@pytest.mark.parametrize("error", [StoreUnavailable(), SessionEnded()])
def test_a_refusal_is_not_recorded(error: SessionServiceError) -> None:
    """Where it is known that nothing was changed there is nothing to tell."""
    trail = Trail()
    with pytest.raises(SessionServiceError), told_of(trail, EVENT):
        raise error
    assert not trail.events


def test_an_answer_is_left_to_whoever_got_it() -> None:
    """A change that was answered is recorded by its caller, who knows more of it."""
    trail = Trail()
    with told_of(trail, EVENT):
        pass
    assert not trail.events
    assert EVENT.confirmed
