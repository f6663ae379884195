"""The rules of a session's life as pure functions of values; ``now`` is always passed in.

The Lua scripts apply the same rules inside Redis, by Redis's clock; this page is what they
are tested against.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from session_service.domain.models import Device, SessionPolicy

MAX_SESSIONS_LIMIT = 1_000
"""The most that ``max_sessions`` may be: one step looks at as many sessions to make room."""

_ID_BYTES = 16


def new_id() -> str:
    """A session or token id: 128 random bits, 22 url-safe characters (ASVS 11.5.1)."""
    return secrets.token_urlsafe(_ID_BYTES)


def normalise_username(username: str) -> str:
    """The form under which usernames are compared: NFKC, case-folded (after RFC 8265)."""
    folded = unicodedata.normalize("NFKC", username).casefold()
    return unicodedata.normalize("NFKC", folded)


def device_fingerprint(device: Device) -> str:
    """A stable, opaque id of a device: by its ``device_id``, else by platform and agent."""
    told = device.device_id or f"{device.platform}\0{device.name}\0{device.user_agent}"
    return base64.urlsafe_b64encode(hashlib.sha256(told.encode()).digest()[:16]).decode()[:22]


def idle_deadline_ms(policy: SessionPolicy, now_ms: int, expires_ms: int) -> int:
    """When a session active at ``now_ms`` ends: the nearer of idle and absolute (ASVS 7.3)."""
    if not policy.idle_timeout:
        return expires_ms
    return min(expires_ms, now_ms + policy.idle_timeout * 1000)


def token_deadline_ms(policy: SessionPolicy, now_ms: int, expires_ms: int) -> int:
    """When an access token issued at ``now_ms`` ends; never after its session."""
    return min(expires_ms, now_ms + policy.token_expire * 1000)


def touch_due(policy: SessionPolicy, now_ms: int, last_active_ms: int) -> bool:
    """Whether a session's activity is worth writing again.

    Also where it lies as far in the future: a server whose clock is behind the store's would wait
    while sessions in use idle out.
    """
    return abs(now_ms - last_active_ms) >= policy.touch_interval * 1000


def ms_to_touch(policy: SessionPolicy, now_ms: int, last_active_ms: int) -> int:
    """For how long a session's activity need not be written again; 0 where a touch is due."""
    if touch_due(policy, now_ms, last_active_ms):
        return 0
    return last_active_ms + policy.touch_interval * 1000 - now_ms


class RotationVerdict(Enum):
    """What becomes of a refresh token that is authentic and whose session is alive."""

    ROTATE = "rotate"
    REPEAT = "repeat"
    """The spent token within the grace: the same successor again (two tabs, a lost reply)."""
    REUSED = "reused"


def judge_rotation(
    policy: SessionPolicy, presented: int, current: int, rotated_ms: int, now_ms: int
) -> RotationVerdict:
    """Decide on a refresh by generation numbers (RFC 9700 §4.14.2).

    Args:
        policy: for its ``refresh_grace``.
        presented: generation in the token.
        current: generation the session is at.
        rotated_ms: when the current generation was made.
        now_ms: the store's clock.
    """
    if presented == current:
        return RotationVerdict.ROTATE
    in_grace = now_ms - rotated_ms <= policy.refresh_grace * 1000
    if presented == current - 1 and in_grace:
        return RotationVerdict.REPEAT
    return RotationVerdict.REUSED


def encode_cursor(kind: str, *parts: str) -> str:
    """An opaque page token that says where a page of this kind of listing ended."""
    raw = "\0".join((kind, *parts)).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode_cursor(kind: str, page_token: str) -> tuple[str, ...] | None:
    """Read a page token of this kind back; ``None`` if this service did not make it."""
    try:
        raw = base64.urlsafe_b64decode(page_token + "=" * (-len(page_token) % 4)).decode()
    except (binascii.Error, ValueError):
        return None
    told, *parts = raw.split("\0")
    authentic = told == kind and encode_cursor(kind, *parts) == page_token
    return tuple(parts) if authentic else None


@dataclass(frozen=True, slots=True)
class PageCursor:
    """Where a page of sessions ended: the last session's activity and id."""

    last_active_ms: int
    session_id: str

    def encode(self) -> str:
        """The cursor as an opaque page token."""
        return encode_cursor("session", str(self.last_active_ms), self.session_id)

    @classmethod
    def decode(cls, page_token: str) -> PageCursor | None:
        """Read a page token back; ``None`` if this service did not make it."""
        match decode_cursor("session", page_token):
            case (active, session_id) if re.fullmatch(r"[0-9]{1,15}", active):
                return cls(int(active), session_id)
        return None


def newest_first(activity: Iterable[tuple[str, int]], after: PageCursor | None) -> list[tuple[str, int]]:
    """Order ``(session_id, last_active_ms)`` by newest activity, from after the cursor on."""
    ordered = sorted(((active, sid) for sid, active in activity), reverse=True)
    return [
        (sid, active)
        for active, sid in ordered
        if after is None or (active, sid) < (after.last_active_ms, after.session_id)
    ]
