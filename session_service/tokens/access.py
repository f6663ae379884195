"""Access tokens: JWTs in the shape of RFC 9068, signed by the first key of the ring.

What a token says is not looked at before its signature holds, its header not even then: under a
given key every header we write is the same text, so the header of a token is looked up and never
parsed. That leaves no room for ``alg: none``, another algorithm, ``jku``, ``x5u``, ``jwk``,
``crit``, ``b64``, a repeated member, or a ``kid`` that is a path (RFC 8725 §3.1, §3.10, §3.11).

One token has one spelling: base64url is read strictly (``base64url``), and each algorithm knows one
form of a signature (``algorithms``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from session_service.domain.errors import TokenExpired, TokenInvalid
from session_service.domain.models import AccessClaims
from session_service.domain.ports import Clock
from session_service.tokens import base64url
from session_service.tokens.claims import Claims
from session_service.tokens.jwk import Key
from session_service.tokens.keys import KeyRing

if TYPE_CHECKING:
    from functools import _lru_cache_wrapper

MAX_TOKEN_LENGTH = 4096
DEFAULT_CACHE_SIZE = 32_768


class JwtAccessTokens:
    """Signs access tokens and verifies them, remembering those it has verified.

    Implements ``domain.ports.AccessTokens``.

    Args:
        ring: the keys.
        issuer: the ``iss`` claim.
        audience: the ``aud`` claim.
        clock: Unix time in seconds.
        leeway: seconds by which another server's clock may run ahead (``iat``, ``nbf``); an expired
            token gets none.
        cache_size: how many verified tokens are remembered, least recently used out first; about
            1 KB each, and what checks keep with their claims. A refused token is never remembered, so
            only holders of tokens fill it.
    """

    def __init__(
        self,
        ring: KeyRing,
        issuer: str,
        audience: str,
        clock: Clock,
        *,
        leeway: int,
        cache_size: int = DEFAULT_CACHE_SIZE,
    ) -> None:
        self._claims = Claims(issuer, audience, leeway)
        self._clock = clock
        self._cache_size = cache_size
        self.replace_ring(ring)

    def replace_ring(self, ring: KeyRing) -> None:
        """Use other keys from now on and forget every verified token, in one step."""
        keys = {_header(key): key for key in ring.access}
        verifier = _Verifier(keys, self._claims, self._clock)
        signer = ring.access[0]
        self._ring_in_use = _RingInUse(signer, _header(signer), lru_cache(self._cache_size)(verifier))

    def issue(self, claims: AccessClaims) -> str:
        """Sign a token with these claims by the first key of the ring."""
        ring = self._ring_in_use
        message = f"{ring.header}.{base64url.encode(self._claims.write(claims))}"
        return f"{message}.{base64url.encode(ring.signer.sign(message.encode()))}"

    def verify(self, token: str) -> AccessClaims:
        """The claims of a token of ours that has not expired; ``exp`` is looked at each time.

        Raises:
            TokenInvalid: malformed, forged, or not an access token for this audience; its cause
                says which check refused it.
            TokenExpired: good, but past its ``exp``.
        """
        claims = self._ring_in_use.verified(token)
        if claims.expires_at <= self._clock():
            raise TokenExpired
        return claims


@dataclass(frozen=True, slots=True)
class _RingInUse:
    signer: Key
    header: str
    verified: _lru_cache_wrapper[AccessClaims]


@dataclass(frozen=True, slots=True)
class _Verifier:
    """Verifies everything about a token but whether it has expired."""

    keys: Mapping[str, Key]
    claims: Claims
    clock: Clock

    def __call__(self, token: str) -> AccessClaims:
        try:
            return self.claims.read(self._signed(token), self.clock())
        except ValueError as refusal:
            raise TokenInvalid from refusal

    def _signed(self, token: str) -> bytes:
        if len(token) > MAX_TOKEN_LENGTH:
            raise ValueError("too long")
        header, payload, signature = token.split(".")
        key = self.keys.get(header)
        if key is None:
            raise ValueError("not a header of ours")
        signed, mark = base64url.decode(payload), base64url.decode(signature)
        if not key.verifies(f"{header}.{payload}".encode(), mark):
            raise ValueError("another signature")
        return signed


def _header(key: Key) -> str:
    header = {"alg": key.alg, "kid": key.kid, "typ": "at+jwt"}
    return base64url.encode(json.dumps(header, separators=(",", ":")).encode())
