"""The audit trail's vocabulary: who did what to whom (ASVS 16.3)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Action(StrEnum):
    """What happened."""

    LOGIN = "login"
    LOGIN_FAILED = "login_failed"
    LOGIN_THROTTLED = "login_throttled"
    REFRESH = "refresh"
    REFRESH_REUSED = "refresh_reused"
    LOGOUT = "logout"
    LOGOUT_ALL = "logout_all"
    REVOKE = "revoke"
    EVICT = "evict"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - the name of an event
    SESSION_CREATED = "session_created"
    USER_CREATED = "user_created"
    USER_PASSWORD_SET = "user_password_set"  # noqa: S105 - the name of an event
    USER_ROLES_SET = "user_roles_set"
    USER_DISABLED = "user_disabled"
    USER_ENABLED = "user_enabled"
    USER_DELETED = "user_deleted"
    ACCESS_DENIED = "access_denied"


UNCONFIRMED: Final = "unconfirmed"
"""The detail of an act whose answer the store did not give: it may have happened."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: ``user:<user_id>``, ``service:<key name>`` or ``cli``, and from where."""

    name: str = ""
    ip_address: str = ""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One act. Ids only; never a token, a password or what was typed as a name.

    Args:
        action: what happened.
        user_id: to whom; empty where the user is unknown.
        session_id: to which session; empty where it is about several or none.
        actor: by whom.
        count: how many sessions it ended, where it is about several.
        detail: a word more, such as a reason.
    """

    action: Action
    user_id: str = ""
    session_id: str = ""
    actor: Actor = Actor()
    count: int = 0
    detail: str = ""

    @property
    def confirmed(self) -> bool:
        """Whether the store said that it happened."""
        return self.detail != UNCONFIRMED
