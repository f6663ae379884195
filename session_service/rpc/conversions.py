"""Between the messages of the API and the values of the domain."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp
from session_api.v1 import admin_service_pb2, session_pb2, session_service_pb2

from session_service.domain.logins import LoggedIn
from session_service.domain.models import Device, Identity, Session, TokenGrant, User
from session_service.domain.sessions import SessionPage

# Messages, of about 1 KB each.
_REMEMBERED: Final = 4_096
_BYTES: Final = "VerifyTokenResponse"
TOKEN_TYPE = "Bearer"  # noqa: S105 - RFC 6750's name of the scheme


def instant(milliseconds: int) -> Timestamp:
    """An instant in Unix milliseconds as a protobuf timestamp."""
    seconds, rest = divmod(milliseconds, 1000)
    return Timestamp(seconds=seconds, nanos=rest * 1_000_000)


def device_of(message: session_pb2.DeviceInfo) -> Device:
    """What a client said about its device."""
    return Device(
        device_id=message.device_id,
        name=message.name,
        platform=message.platform,
        user_agent=message.user_agent,
        app_version=message.app_version,
        ip_address=message.ip_address,
    )


def user_message(user: User) -> session_pb2.User:
    """A user without the password hash; one outside the directory has no created_time."""
    return session_pb2.User(
        user_id=user.user_id,
        username=user.username,
        roles=user.roles,
        disabled=user.disabled,
        created_time=instant(user.created_ms) if user.created_ms else None,
    )


def session_message(session: Session, current: str = "") -> session_pb2.Session:
    """A listed session; ``current`` is the id of the caller's own."""
    device = session.device
    return session_pb2.Session(
        session_id=session.session_id,
        user_id=session.user_id,
        username=session.username,
        device=session_pb2.DeviceInfo(
            device_id=device.device_id,
            name=device.name,
            platform=device.platform,
            user_agent=device.user_agent,
            app_version=device.app_version,
            ip_address=device.ip_address,
        ),
        ip_address=session.ip_address,
        created_time=instant(session.created_ms),
        last_active_time=instant(session.last_active_ms),
        expire_time=instant(session.expires_ms),
        current=session.session_id == current,
    )


def page_messages(page: SessionPage, current: str = "") -> list[session_pb2.Session]:
    """The sessions of a page."""
    return [session_message(session, current) for session in page.sessions]


def verified_bytes(identity: Identity) -> bytes:
    """The answer of a successful check, serialised."""
    found: bytes | None = identity.forms.get(_BYTES)
    if found is None:
        found = identity.forms[_BYTES] = verified_message.__wrapped__(identity).SerializeToString()
    return found


@lru_cache(maxsize=_REMEMBERED)
def verified_message(identity: Identity) -> session_service_pb2.VerifyTokenResponse:
    """The same as a message, to be sent as it is.

    Remembered, because it is the same from one note of the session's activity to the next. What Redis said
    is in the key, so that nothing out of date is ever found.
    """
    message = session_service_pb2.VerifyTokenResponse(
        session_id=identity.session_id,
        user_id=identity.user_id,
        username=identity.username,
        roles=identity.roles,
    )
    # Set in place: a submessage that is passed in is serialised and parsed to copy it.
    message.token_expire_time.seconds = identity.token_expires_at
    _set(message.session_expire_time, identity.session_expires_ms)
    _set(message.last_active_time, identity.last_active_ms)
    return message


def _set(timestamp: Timestamp, milliseconds: int) -> None:
    # As FromMilliseconds, which takes twice as long.
    seconds, rest = divmod(milliseconds, 1000)
    timestamp.seconds = seconds
    timestamp.nanos = rest * 1_000_000


def login_message(logged_in: LoggedIn) -> session_service_pb2.LoginResponse:
    """The answer to a login by password."""
    grant = logged_in.grant
    return session_service_pb2.LoginResponse(
        access_token=grant.access_token,
        token_type=TOKEN_TYPE,
        expires_in=grant.expires_in,
        refresh_token=grant.refresh_token,
        session_id=grant.session_id,
        session_expire_time=instant(grant.session_expires_ms),
        user=user_message(logged_in.user),
        new_device=logged_in.new_device,
    )


def created_message(logged_in: LoggedIn) -> admin_service_pb2.CreateSessionResponse:
    """The answer to a login proven elsewhere: field for field that of a login."""
    message = admin_service_pb2.CreateSessionResponse()
    message.MergeFromString(login_message(logged_in).SerializeToString())
    return message


def refreshed_message(grant: TokenGrant) -> session_service_pb2.RefreshTokenResponse:
    """The answer to a refresh."""
    return session_service_pb2.RefreshTokenResponse(
        access_token=grant.access_token,
        token_type=TOKEN_TYPE,
        expires_in=grant.expires_in,
        refresh_token=grant.refresh_token,
        session_id=grant.session_id,
        session_expire_time=instant(grant.session_expires_ms),
    )
