"""The values the service speaks of. All instants are Unix time in whole milliseconds (``…_ms``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class Device:
    """What a client says about itself; every field may be empty and none is trusted."""

    device_id: str = ""
    name: str = ""
    platform: str = ""
    user_agent: str = ""
    app_version: str = ""
    ip_address: str = ""


NO_DEVICE = Device()


@dataclass(frozen=True, slots=True)
class User:
    """A member of the directory. ``password_hash`` is a modular-crypt string, never shown."""

    user_id: str
    username: str
    roles: tuple[str, ...]
    disabled: bool
    created_ms: int
    password_hash: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Session:
    """One live session, as it is listed."""

    session_id: str
    user_id: str
    username: str
    roles: tuple[str, ...]
    device: Device
    ip_address: str
    created_ms: int
    last_active_ms: int
    expires_ms: int
    """The absolute end; an idle timeout may end it before."""


class TokenMemory:
    """What was made for a token's last check, so that the next one need not make it again.

    It lasts as long as the token's claims are remembered. Nothing in it is an answer: each is used only
    where the store has just said the same as when it was made.
    """

    __slots__ = ("identity", "question", "state")

    def __init__(self) -> None:
        self.question: object = None
        """The store's own."""
        self.state: LiveState | None = None
        """What the store said last, if that was good."""
        self.identity: Identity | None = None
        """Made of ``state``."""


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """The verified claims of an access token (``iat`` and ``exp`` in whole seconds)."""

    user_id: str
    session_id: str
    token_id: str
    issued_at: int
    expires_at: int
    memory: TokenMemory = field(default_factory=TokenMemory, init=False, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class RefreshClaims:
    """What an authentic refresh token says."""

    user_id: str
    session_id: str
    generation: int


class LiveState(NamedTuple):
    """What the store says of a session and one of its access tokens, read at one moment.

    A named tuple, as ``Identity`` is: one is made at every check, and a frozen dataclass takes four times
    as long to make.

    ``token_session_id`` is what the token's own key names: ``None`` where that key is gone.
    """

    token_session_id: str | None
    username: str
    roles: tuple[str, ...]
    last_active_ms: int
    expires_ms: int


class _IdentityFields(NamedTuple):
    user_id: str
    session_id: str
    username: str
    roles: tuple[str, ...]
    token_expires_at: int
    last_active_ms: int
    session_expires_ms: int


class Identity(_IdentityFields):
    """Who a checked token stands for: the answer of a successful check.

    The same object from one change of the session to the next, as long as the token is remembered.
    """

    @property
    def forms(self) -> dict[Any, Any]:
        """Answers that it was written into, each by a key of its writer; they last as long as it does."""
        # A dictionary of its own in the object's would take as much again, for every token that is known.
        return self.__dict__


class OnLimit(StrEnum):
    """What a login does when the user has ``max_sessions`` live sessions already."""

    EVICT_OLDEST = "evict_oldest"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """How long sessions and tokens live and how many there may be. Spans in seconds.

    Args:
        session_expire: absolute life of a session.
        token_expire: life of an access token; it never outlives its session.
        idle_timeout: a session unused for this long ends; 0 = never.
        touch_interval: activity is written at most this often per session.
        refresh_grace: how long the spent refresh token still gets the same successor.
        max_sessions: live sessions per user; 0 = no limit.
        on_limit: what a login over the limit does.
    """

    session_expire: int = 86_400
    token_expire: int = 1_800
    idle_timeout: int = 0
    touch_interval: int = 60
    refresh_grace: int = 10
    max_sessions: int = 0
    on_limit: OnLimit = OnLimit.EVICT_OLDEST


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session about to be created; the store fixes its instants by its own clock.

    Args:
        session_id: 128 random bits, url-safe.
        token_id: id of its first access token, likewise.
        user_id: whose it is.
        username: as shown; a directory user's own name and roles take its place.
        roles: likewise.
        device: as declared.
        fingerprint: stable id of the device for the new-device mark.
        ip_address: the true client address as far as known, or empty.
        request_id: makes a repetition within a minute the same session; empty = none.
        password_hash: the hash the password was verified against. Given, the user must still
            exist with exactly this hash: it closes the race of a login with SetPassword,
            SetUserDisabled and DeleteUser. ``None`` for a login proven elsewhere.
    """

    session_id: str
    token_id: str
    user_id: str
    username: str
    roles: tuple[str, ...]
    device: Device
    fingerprint: str
    ip_address: str
    request_id: str = ""
    password_hash: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class CreatedSession:
    """The outcome of a creation, or of its repetition under the same request id.

    ``evicted`` are the ids of sessions that made room. ``generation`` is the refresh
    generation to hand out; ``token_issued_ms`` and ``token_expires_ms`` the access token's life.
    """

    session_id: str
    token_id: str
    username: str
    roles: tuple[str, ...]
    generation: int
    token_issued_ms: int
    token_expires_ms: int
    session_expires_ms: int
    new_device: bool
    evicted: tuple[str, ...] = ()
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Rotation:
    """The outcome of an accepted refresh.

    ``repeated`` marks the same successor given once more within the grace: same generation,
    same token id, same instants, so that two racing tabs get equal answers.
    """

    token_id: str
    generation: int
    token_issued_ms: int
    token_expires_ms: int
    session_expires_ms: int
    repeated: bool


class RotationRefused(StrEnum):
    """Why a refresh was not accepted."""

    ENDED = "ended"
    REUSED = "reused"
    """A spent generation outside the grace; the session was ended in the same step."""


@dataclass(frozen=True, slots=True)
class UserChange:
    """The outcome of a change to a user: the user after it, how many sessions it ended."""

    user: User
    ended_count: int = 0


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """What a login or a refresh hands out."""

    access_token: str = field(repr=False)
    expires_in: int
    """Seconds the access token has left."""
    refresh_token: str = field(repr=False)
    session_id: str
    session_expires_ms: int


@dataclass(frozen=True, slots=True)
class SweepReport:
    """Index entries looked at, and the dead ones among them that were removed.

    ``busy`` says that another sweep was under way, and so nothing was done.
    """

    scanned: int = 0
    removed: int = 0
    busy: bool = False


@dataclass(frozen=True, slots=True)
class Stats:
    """Totals that cost nothing per call.

    ``active_sessions`` was exact at ``counted_ms`` (the last sweep) and is carried on from
    there by the sessions created and ended since; expiry shows at the next sweep.
    """

    active_sessions: int
    users: int
    counted_ms: int
    created_sessions: int
    ended_sessions: int
