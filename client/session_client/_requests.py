"""What goes into a call: credentials, request ids, requests. Refuses what cannot be sent at all."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import Final, ParamSpec, TypeAlias, TypeVar

from session_client._errors import FieldViolation, InvalidArgument, TokenInvalid

Metadata: TypeAlias = tuple[tuple[str, str], ...]

P = ParamSpec("P")
M = TypeVar("M")

# Twice what the service takes for a token; more would fail on the way, as too large a request.
_MAX_TOKEN_LENGTH: Final = 8192


def bearer(access_token: str) -> Metadata:
    """The metadata that carries an access token (RFC 6750 §2.1); none for an empty one.

    Raises:
        TokenInvalid: see ``sendable``.
    """
    return (("authorization", f"Bearer {sendable(access_token)}"),) if access_token else ()


def sendable(access_token: str) -> str:
    """The token itself, if metadata can carry it.

    Tokens come from strangers. grpc would fail on a stray character as INTERNAL and log it, and on
    one that is too long as RESOURCE_EXHAUSTED, neither of which says "not logged in".

    Raises:
        TokenInvalid: no token has such characters or such a length.
    """
    if len(access_token) > _MAX_TOKEN_LENGTH or not _is_visible_ascii(access_token):
        raise TokenInvalid("the access token is not valid", reason="TOKEN_INVALID")
    return access_token


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
        InvalidArgument: a text is not Unicode, such as half a surrogate pair out of JSON.
    """
    try:
        return message(*args, **fields)
    except UnicodeEncodeError as error:
        wrong = tuple(
            FieldViolation(name, "is not valid Unicode") for name in fields if _broken(fields[name])
        )
        raise InvalidArgument(
            "a text in the request is not valid Unicode", violations=wrong, reason="INVALID_ARGUMENT"
        ) from error


def _broken(value: object) -> bool:
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return True
    return False


def _is_visible_ascii(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
