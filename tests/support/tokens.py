"""Tokens made by hand: whatever an attacker, or a holder of a key, could write."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from session_service.tokens.jwk import Key
    from session_service.tokens.keys import KeyRing

NOW = 1_700_000_000
"""Where a `SetClock` starts."""


GOOD_CLAIMS: dict[str, Any] = {
    "iss": "https://issuer.test",
    "aud": "backends",
    "sub": "user.1",
    "sid": "s" * 22,
    "jti": "t" * 22,
    "iat": NOW,
    "nbf": NOW,
    "exp": NOW + 1800,
}
"""Claims that hold at `NOW`."""


class SetClock:
    """A clock that stands where the test puts it."""

    def __init__(self) -> None:
        self.now: float = NOW

    def __call__(self) -> float:
        """Seconds since the Unix epoch."""
        return self.now


def base64url(raw: bytes) -> str:
    """Base64url without padding, written apart from the code under test."""
    return base64.b64encode(raw, b"-_").decode().rstrip("=")


def unbase64url(text: str) -> bytes:
    """The reverse, for texts that are right."""
    return base64.b64decode(text + "=" * (-len(text) % 4), b"-_")


def good_header(ring: KeyRing) -> dict[str, Any]:
    """The header we write, as PyJWT would write it too."""
    return {"alg": ring.access[0].alg, "kid": ring.access[0].kid, "typ": "at+jwt"}


def forge(header: str | dict[str, Any], payload: str | bytes | dict[str, Any], key: Key) -> str:
    """A token of this very header and payload, truly signed by the key."""
    message = ".".join(base64url(_raw(part)) for part in (header, payload))
    return f"{message}.{base64url(key.sign(message.encode()))}"


def claims_of(token: str) -> dict[str, Any]:
    """What a JWT claims, unverified."""
    claims: dict[str, Any] = json.loads(unbase64url(token.split(".")[1]))
    return claims


def twin_of(signature: bytes) -> bytes:
    """The other ECDSA signature on P-256 that verifies where this one does."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    return signature[:32] + (order - int.from_bytes(signature[32:])).to_bytes(32)


def _raw(part: str | bytes | dict[str, Any]) -> bytes:
    if isinstance(part, dict):
        part = json.dumps(part, separators=(",", ":"))
    return part.encode() if isinstance(part, str) else part
