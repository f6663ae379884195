"""What goes into a call: credentials, request ids, requests. Refuses what cannot be sent at all."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Final, ParamSpec, TypeAlias, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from session_api.v1 import session_pb2

from session_client._errors import FieldViolation, InvalidArgument, RefreshTokenInvalid, TokenInvalid
from session_client._results import Device

Metadata: TypeAlias = tuple[tuple[str, str], ...]

P = ParamSpec("P")
M = TypeVar("M", bound=Message)

# Twice what the service takes for a token; more would fail on the way, as too large a request.
_MAX_TOKEN_LENGTH: Final = 8192
# The service's limits, as its API states them.
_MAX_REQUEST_BYTES: Final = 65_536
MAX_STALENESS: Final = 60


def bearer(access_token: str) -> Metadata:
    """The metadata that carries an access token (RFC 6750 §2.1); none for an empty one.

    Raises:
        TokenInvalid: see ``checked_access_token``.
    """
    return (("authorization", f"Bearer {checked_access_token(access_token)}"),) if access_token else ()


def checked_access_token(token: str) -> str:
    """The token itself.

    Raises:
        TokenInvalid: no token has such characters or such a length.
    """
    if not _may_be_token(token):
        raise TokenInvalid("the access token is not valid", reason="TOKEN_INVALID")
    return token


def checked_refresh_token(token: str) -> str:
    """The token itself.

    Raises:
        RefreshTokenInvalid: no token has such characters or such a length.
    """
    if not _may_be_token(token):
        raise RefreshTokenInvalid("the refresh token is not valid", reason="REFRESH_TOKEN_INVALID")
    return token


def staleness_message(seconds: float) -> Duration | None:
    """How old an answer may be; nothing for 0.

    Raises:
        InvalidArgument: it is not 0 to 60 seconds.
    """
    if not 0 <= seconds <= MAX_STALENESS:
        wrong = FieldViolation("max_staleness", f"must be 0 to {MAX_STALENESS} s")
        text = f"{wrong.field}: {wrong.description}"
        raise InvalidArgument(text, violations=(wrong,), reason="INVALID_ARGUMENT")
    if not seconds:
        return None
    duration = Duration()
    duration.FromNanoseconds(int(seconds * 1e9))
    return duration


def service_credential(service_key: str | None) -> Metadata:
    """The metadata that carries a service key.

    Raises:
        ValueError: metadata cannot carry it; the text does not show the key.
    """
    if service_key is None:
        return ()
    if not service_key or not _is_visible_ascii(service_key):
        raise ValueError("a service key has visible ASCII characters only, and at least one")
    return (("x-service-key", service_key),)


def new_request_id() -> str:
    """An id for a login, so that its repetition gives the same session."""
    return uuid.uuid4().hex


def role_names(roles: Iterable[str]) -> list[str]:
    """The roles as a list.

    Raises:
        TypeError: a single string, which would count as one role per character.
    """
    if isinstance(roles, str):
        raise TypeError("roles is a collection of names, not one string")
    return list(roles)


def request(message: Callable[P, M], *args: P.args, **fields: P.kwargs) -> M:
    """A request message of the given fields.

    Raises:
        InvalidArgument: it cannot be sent: a text that is not Unicode, such as half a surrogate pair
            out of JSON, a number of more than 32 bits, or more than 64 KiB in all.
    """
    made = _message(message, fields, *args, **fields)
    if made.ByteSize() > _MAX_REQUEST_BYTES:
        raise InvalidArgument("the request has more than 64 KiB", reason="INVALID_ARGUMENT")
    return made


def device_message(device: Device) -> session_pb2.DeviceInfo:
    """A device as it is sent.

    Raises:
        InvalidArgument: a text is not Unicode.
    """
    fields = asdict(device)
    named = {f"device.{name}": value for name, value in fields.items()}
    return _message(session_pb2.DeviceInfo, named, **fields)


def _message(message: Callable[P, M], named: Mapping[str, object], *args: P.args, **fields: P.kwargs) -> M:
    try:
        return message(*args, **fields)
    except ValueError:
        # Not `from` it: a UnicodeEncodeError keeps the whole text, and that may be a password.
        faults = ((name, _fault(value)) for name, value in named.items())
        violations = tuple(FieldViolation(name, fault) for name, fault in faults if fault)
        text = "; ".join(f"{one.field}: {one.description}" for one in violations)
        raise InvalidArgument(text, violations=violations, reason="INVALID_ARGUMENT") from None


def _fault(value: object) -> str:
    if isinstance(value, int):
        return "" if -(2**31) <= value < 2**31 else "must fit into 32 bits"
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return "must be valid Unicode"
    return ""


def _may_be_token(token: str) -> bool:
    # Tokens come from strangers. On a stray character grpc would fail as INTERNAL, and log it; on a
    # token that is too long, as RESOURCE_EXHAUSTED. Neither says that it opens nothing.
    return len(token) <= _MAX_TOKEN_LENGTH and (not token or _is_visible_ascii(token))


def _is_visible_ascii(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
