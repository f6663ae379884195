"""What calls answer with. Instants are aware datetimes in UTC, spans are timedeltas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from struct import Struct
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_INSTANTS: Final = Struct("<3q")
_kept_instants: Final[Callable[[object], bytes]] = attrgetter("_instants")


@dataclass(frozen=True, slots=True)
class Device:
    """What the caller says about the device a user logs in from; all of it optional, at most 4 KiB.

    Args:
        device_id: id that the application gave the device and finds again at the next login; where
            given, it alone decides whether the device is new. At most 128 characters.
        name: for people to read, such as ``Ann's phone``; at most 128 characters.
        platform: such as ``ios``, ``android`` or ``web``; at most 64 characters.
        user_agent: the ``User-Agent`` of the end user's request; at most 1024 characters.
        app_version: at most 64 characters.
        ip_address: the end user's address, without port. Set it when logging users in on their
            behalf, with a service key; otherwise the connection's address counts.
    """

    device_id: str = ""
    name: str = ""
    platform: str = ""
    user_agent: str = ""
    app_version: str = ""
    ip_address: str = ""


@dataclass(frozen=True, slots=True)
class User:
    """An account. ``created_time`` is ``None`` for a user who is not in the service's directory."""

    user_id: str
    username: str
    roles: tuple[str, ...]
    disabled: bool
    created_time: datetime | None


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens to go on with; they never show in ``repr``.

    ``session_expire_time`` is when the session ends at the latest, however often it is refreshed.
    """

    access_token: str = field(repr=False)
    token_type: str
    expires_in: timedelta
    refresh_token: str = field(repr=False)
    session_id: str
    session_expire_time: datetime


@dataclass(frozen=True, slots=True)
class Login(Tokens):
    """A session that has begun. ``new_device``: not seen with this user in the last 180 days."""

    user: User
    new_device: bool


class _Instant:
    """A field that holds an instant, kept by its owner as one number of several in one object.

    Args:
        place: which of the numbers.
    """

    def __init__(self, place: int) -> None:
        self._place = place

    def __get__(self, owner: Identity | None, kind: type) -> datetime:
        if owner is None:
            raise AttributeError("a field without a default")  # which is what dataclass asks
        microseconds: int = _INSTANTS.unpack(_kept_instants(owner))[self._place]
        return _EPOCH + timedelta(microseconds=microseconds)

    def __set__(self, owner: Identity, value: datetime) -> None:
        raise AttributeError("an identity does not change")


@dataclass(frozen=True, init=False)
class Identity:
    """Whose live session a checked token belongs to; ``roles`` are as of now, not of the login."""

    # Thousands are kept by a verifier, and three datetimes would take as much room as all else here.
    __slots__ = ("_instants", "roles", "session_id", "user_id", "username")

    session_id: str
    user_id: str
    username: str
    roles: tuple[str, ...]
    token_expire_time: _Instant = _Instant(0)
    session_expire_time: _Instant = _Instant(1)
    last_active_time: _Instant = _Instant(2)

    def __init__(  # noqa: PLR0917 - the fields in their order
        self,
        session_id: str,
        user_id: str,
        username: str,
        roles: tuple[str, ...],
        token_expire_time: datetime,
        session_expire_time: datetime,
        last_active_time: datetime,
    ) -> None:
        instants = (token_expire_time, session_expire_time, last_active_time)
        kept = _INSTANTS.pack(*((one - _EPOCH) // _MICROSECOND for one in instants))
        self._keep(session_id, user_id, username, roles, kept)

    @classmethod
    def of_microseconds(
        cls, session_id: str, user_id: str, username: str, roles: tuple[str, ...], *instants: int
    ) -> Identity:
        """As the class, with instants in microseconds of Unix time: a datetime is made when it is read."""
        made = cls.__new__(cls)
        made._keep(session_id, user_id, username, roles, _INSTANTS.pack(*instants))  # noqa: SLF001 - its own
        return made

    def _keep(
        self, session_id: str, user_id: str, username: str, roles: tuple[str, ...], instants: bytes
    ) -> None:
        keep = object.__setattr__
        keep(self, "session_id", session_id)
        keep(self, "user_id", user_id)
        keep(self, "username", username)
        keep(self, "roles", roles)
        keep(self, "_instants", instants)

    def __reduce__(self) -> tuple[Any, ...]:
        # The usual way to copy and pickle writes to the fields.
        return Identity, tuple(getattr(self, one.name) for one in fields(self))


@dataclass(frozen=True, slots=True)
class Session:
    """A live session. ``current`` marks the one that the call itself was made with."""

    session_id: str
    user_id: str
    username: str
    device: Device
    ip_address: str
    created_time: datetime
    last_active_time: datetime
    expire_time: datetime
    current: bool


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list. ``next_page_token`` is empty on the last; ``total_size`` counts all pages."""

    items: tuple[T, ...]
    next_page_token: str
    total_size: int


@dataclass(frozen=True, slots=True)
class UserChange:
    """A user after a change, and how many of the user's sessions it ended."""

    user: User
    revoked_count: int


@dataclass(frozen=True, slots=True)
class Stats:
    """The service's figures.

    ``active_sessions`` was exact at ``counted_time`` (``None`` before the first sweep) and is
    carried on from there by the sessions begun and ended since.
    """

    active_sessions: int
    users: int
    counted_time: datetime | None
    created_sessions: int
    ended_sessions: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """Index entries looked at, and the dead ones among them that were removed."""

    scanned_entries: int
    removed_entries: int
