"""Refresh tokens: a session's generation number, authenticated.

``user id . session id . generation . kid . MAC``, where the MAC is HMAC-SHA-256 under a key of the
refresh ring over all that precedes it, in base64url. Nothing secret is stored for them, and under
one key a generation's token is always the same, so that a repeated refresh can repeat its answer.
"""

from __future__ import annotations

import hmac
import re

from session_service.domain.errors import InvalidArgument, RefreshTokenInvalid
from session_service.domain.models import RefreshClaims
from session_service.domain.validation import Checker
from session_service.tokens import base64url
from session_service.tokens.jwk import Key
from session_service.tokens.keys import KeyRing

MAX_TOKEN_LENGTH = 512

# The highest integer that every reader of a JSON or Lua number agrees on.
_MAX_GENERATION = 2**53
_GENERATION = re.compile(r"0|[1-9][0-9]{0,15}")


class HmacRefreshTokens:
    """Makes and authenticates refresh tokens. Implements ``domain.ports.RefreshTokens``.

    Args:
        ring: the keys; the first of ``refresh`` signs.
    """

    def __init__(self, ring: KeyRing) -> None:
        self.replace_ring(ring)

    def replace_ring(self, ring: KeyRing) -> None:
        """Use other keys from now on."""
        self._keys = {key.kid: key for key in ring.refresh}

    def issue(self, claims: RefreshClaims) -> str:
        """The token of this generation."""
        key = next(iter(self._keys.values()))
        body = f"{claims.user_id}.{claims.session_id}.{claims.generation}.{key.kid}"
        return f"{body}.{_mac(key, body)}"

    def verify(self, token: str) -> RefreshClaims:
        """What an authentic token says.

        Raises:
            RefreshTokenInvalid: malformed or forged; its cause says which check refused it.
        """
        try:
            return _read(self._authentic(token))
        except (InvalidArgument, ValueError) as refusal:
            raise RefreshTokenInvalid from refusal

    def _authentic(self, token: str) -> str:
        if len(token) > MAX_TOKEN_LENGTH or not token.isascii():
            raise ValueError("too long or not ASCII")
        body, _, mac = token.rpartition(".")
        key = self._keys.get(body.rpartition(".")[2])
        if key is None:
            raise ValueError("another kid")
        # As text, so that only the canonical spelling of the MAC is equal.
        if not hmac.compare_digest(_mac(key, body).encode(), mac.encode()):
            raise ValueError("another MAC")
        return body


def _mac(key: Key, body: str) -> str:
    return base64url.encode(key.sign(body.encode()))


def _read(body: str) -> RefreshClaims:
    # From the right: a user id may contain dots, the other fields cannot.
    user_id, session_id, generation, _ = body.rsplit(".", 3)
    if not _GENERATION.fullmatch(generation) or int(generation) > _MAX_GENERATION:
        raise ValueError("not a generation")
    check = Checker()
    check.user_id("user_id", user_id)
    check.session_id("session_id", session_id)
    check.done()
    return RefreshClaims(user_id, session_id, int(generation))
