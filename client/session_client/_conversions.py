"""From the messages of the API to the results of the client."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from google.protobuf.timestamp_pb2 import Timestamp
from session_api.v1 import admin_service_pb2, session_pb2, session_service_pb2

from session_client._results import Device, Identity, Login, Page, Session, Stats, Sweep, Tokens, User


def instant(timestamp: Timestamp) -> datetime:
    """A protobuf timestamp as an aware datetime in UTC."""
    return timestamp.ToDatetime(tzinfo=UTC)


def device_of(message: session_pb2.DeviceInfo) -> Device:
    """A device as it was sent."""
    return Device(
        device_id=message.device_id,
        name=message.name,
        platform=message.platform,
        user_agent=message.user_agent,
        app_version=message.app_version,
        ip_address=message.ip_address,
    )


def user_of(message: session_pb2.User) -> User:
    """A user of the directory, or one who is known from elsewhere."""
    return User(
        user_id=message.user_id,
        username=message.username,
        roles=tuple(message.roles),
        disabled=message.disabled,
        created_time=instant(message.created_time) if message.HasField("created_time") else None,
    )


def session_of(message: session_pb2.Session) -> Session:
    """A listed session."""
    return Session(
        session_id=message.session_id,
        user_id=message.user_id,
        username=message.username,
        device=device_of(message.device),
        ip_address=message.ip_address,
        created_time=instant(message.created_time),
        last_active_time=instant(message.last_active_time),
        expire_time=instant(message.expire_time),
        current=message.current,
    )


def login_of(message: session_service_pb2.LoginResponse | admin_service_pb2.CreateSessionResponse) -> Login:
    """A session that has begun."""
    return Login(
        access_token=message.access_token,
        token_type=message.token_type,
        expires_in=timedelta(seconds=message.expires_in),
        refresh_token=message.refresh_token,
        session_id=message.session_id,
        session_expire_time=instant(message.session_expire_time),
        user=user_of(message.user),
        new_device=message.new_device,
    )


def tokens_of(message: session_service_pb2.RefreshTokenResponse) -> Tokens:
    """The tokens after a refresh."""
    return Tokens(
        access_token=message.access_token,
        token_type=message.token_type,
        expires_in=timedelta(seconds=message.expires_in),
        refresh_token=message.refresh_token,
        session_id=message.session_id,
        session_expire_time=instant(message.session_expire_time),
    )


def identity_of(message: session_service_pb2.VerifyTokenResponse) -> Identity:
    """The answer of a successful check."""
    return Identity.of_microseconds(
        message.session_id,
        message.user_id,
        message.username,
        _shared(tuple(message.roles)),
        _microseconds(message.token_expire_time),
        _microseconds(message.session_expire_time),
        _microseconds(message.last_active_time),
    )


def _microseconds(timestamp: Timestamp) -> int:
    return timestamp.seconds * 1_000_000 + timestamp.nanos // 1_000


@lru_cache(1_024)
def _shared(roles: tuple[str, ...]) -> tuple[str, ...]:
    """One and the same object for equal roles, as many identities are kept and have the same few."""
    return roles


def session_page(
    message: session_service_pb2.ListSessionsResponse | admin_service_pb2.ListUserSessionsResponse,
) -> Page[Session]:
    """A page of sessions."""
    items = tuple(session_of(session) for session in message.sessions)
    return Page(items, message.next_page_token, message.total_size)


def user_page(message: admin_service_pb2.ListUsersResponse) -> Page[User]:
    """A page of users."""
    items = tuple(user_of(user) for user in message.users)
    return Page(items, message.next_page_token, message.total_size)


def stats_of(message: admin_service_pb2.GetStatsResponse) -> Stats:
    """The service's figures."""
    return Stats(
        active_sessions=message.active_sessions,
        users=message.users,
        counted_time=instant(message.counted_time) if message.HasField("counted_time") else None,
        created_sessions=message.created_sessions,
        ended_sessions=message.ended_sessions,
    )


def sweep_of(message: admin_service_pb2.CleanUpSessionsResponse) -> Sweep:
    """What a sweep did."""
    return Sweep(message.scanned_entries, message.removed_entries)
