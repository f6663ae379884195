"""What a session and a user look like as Redis hashes, and back.

Empty fields are left out; roles are separated by spaces (a role has none, ``domain.validation``);
the device is as ``device_text`` has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from session_service.domain.models import Session, User
from session_service.storage.device_text import decode_device

Reply = bytes | None

SESSION_FIELDS: Final = (
    "session_id",
    "user_id",
    "username",
    "roles",
    "device_info",
    "ip_address",
    "created_at",
    "last_active",
    "expires_at",
)
"""What is read to list a session; ``decode_session`` takes the replies in this order."""

USER_FIELDS: Final = ("user_id", "username", "roles", "disabled", "created_at", "password_hash")
"""What is read of a user; ``decode_user`` takes the replies in this order."""


_PROVISIONAL: Final = "?"


def provisional(user_id: str) -> str:
    """A claim to a name for a user who is still to be added; no user id has the mark."""
    return _PROVISIONAL + user_id


def claimant(claim: str) -> str:
    """The user id of a claim to a name, provisional or for good."""
    return claim.removeprefix(_PROVISIONAL)


def text(reply: Reply) -> str:
    """A field's text; an absent field is empty."""
    return reply.decode() if reply else ""


def encode_roles(roles: Sequence[str]) -> str:
    """Roles as one field."""
    return " ".join(roles)


def decode_roles(reply: Reply) -> tuple[str, ...]:
    """Roles of a field."""
    return tuple(reply.decode().split()) if reply else ()


def decode_session(replies: Sequence[Reply]) -> Session | None:
    """A session of its ``SESSION_FIELDS``; ``None`` if the hash is gone."""
    session_id, user_id, username, roles, device, ip_address, created, active, expires = replies
    if session_id is None:
        return None
    return Session(
        session_id=text(session_id),
        user_id=text(user_id),
        username=text(username),
        roles=decode_roles(roles),
        device=decode_device(device),
        ip_address=text(ip_address),
        created_ms=int(created or 0),
        last_active_ms=int(active or 0),
        expires_ms=int(expires or 0),
    )


def decode_user(replies: Sequence[Reply]) -> User | None:
    """A user of its ``USER_FIELDS``; ``None`` if the hash is gone."""
    user_id, username, roles, disabled, created, password_hash = replies
    if user_id is None:
        return None
    return User(
        user_id=text(user_id),
        username=text(username),
        roles=decode_roles(roles),
        disabled=disabled == b"1",
        created_ms=int(created or 0),
        password_hash=text(password_hash),
    )
