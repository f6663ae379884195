"""The claims of an access token as JSON (RFC 7519 §4), written and strictly read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from session_service.domain.errors import InvalidArgument
from session_service.domain.models import AccessClaims
from session_service.domain.validation import Checker
from session_service.tokens import strict_json

# The last second that a protobuf Timestamp can hold: 9999-12-31T23:59:59Z.
_LAST_SECOND = 253_402_300_799


@dataclass(frozen=True, slots=True)
class Claims:
    """Writes and reads the claims of one issuer for one audience.

    Args:
        issuer: ``iss``, compared exactly.
        audience: ``aud``, one string, compared exactly.
        leeway: seconds by which an issuer's clock may run ahead of ours.
    """

    issuer: str
    audience: str
    leeway: int

    def write(self, claims: AccessClaims) -> bytes:
        """The claims set of a token."""
        members = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": claims.user_id,
            "sid": claims.session_id,
            "jti": claims.token_id,
            "iat": claims.issued_at,
            "nbf": claims.issued_at,
            "exp": claims.expires_at,
        }
        return json.dumps(members, separators=(",", ":")).encode()

    def read(self, text: bytes, now: float) -> AccessClaims:
        """Read a claims set that we signed; ``exp`` must be there, its passing is not looked at.

        All claims are required and have exactly their type, unknown ones are ignored (RFC 7519 §4).

        Args:
            text: the claims set as JSON.
            now: Unix time in seconds.

        Raises:
            ValueError: naming the claim that is wrong.
        """
        members = strict_json.read_object(text)
        for name, expected in (("iss", self.issuer), ("aud", self.audience)):
            if _text(members, name) != expected:
                raise ValueError(f"{name} is another")
        for name in ("iat", "nbf"):
            if _second(members, name) > now + self.leeway:
                raise ValueError(f"{name} is in the future")
        claims = AccessClaims(
            user_id=_text(members, "sub"),
            session_id=_text(members, "sid"),
            token_id=_text(members, "jti"),
            issued_at=_second(members, "iat"),
            expires_at=_second(members, "exp"),
        )
        _check_ids(claims)
        return claims


def _text(members: Mapping[str, Any], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str):
        raise ValueError(f"{name} is missing or not a string")  # noqa: TRY004
    return value


def _second(members: Mapping[str, Any], name: str) -> int:
    value = members.get(name)
    # Not isinstance: to Python, true is an int.
    if type(value) is not int or not 0 <= value <= _LAST_SECOND:
        raise ValueError(f"{name} is missing or not a time in whole seconds")
    return value


def _check_ids(claims: AccessClaims) -> None:
    check = Checker()
    check.user_id("sub", claims.user_id)
    check.session_id("sid", claims.session_id)
    check.session_id("jti", claims.token_id)
    try:
        check.done()
    except InvalidArgument as wrong:
        raise ValueError(str(wrong)) from None
