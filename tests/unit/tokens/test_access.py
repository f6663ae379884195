"""Access tokens: what is signed is read back; how long it is remembered, and by which keys."""

from __future__ import annotations

import gc
import json
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from session_service.domain.errors import TokenExpired, TokenInvalid
from session_service.domain.models import AccessClaims
from session_service.tokens.access import MAX_TOKEN_LENGTH, JwtAccessTokens
from session_service.tokens.keys import KeyRing
from tests.support.tokens import NOW, SetClock, unbase64url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from session_service.tokens.jwk import Key


class CountingKey:
    """A key that counts how often it is asked to verify."""

    def __init__(self, key: Key) -> None:
        self.kid, self.alg, self.sign = key.kid, key.alg, key.sign
        self._key = key
        self.verified = 0

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Count, and answer as the key."""
        self.verified += 1
        return self._key.verifies(message, signature)


def counted(ring: KeyRing) -> tuple[KeyRing, CountingKey]:
    """The ring with its first key counting."""
    key = CountingKey(ring.access[0])
    return replace(ring, access=(key, *ring.access[1:])), key  # type: ignore[arg-type]


def numbered(claims: AccessClaims, number: int) -> AccessClaims:
    """The claims of another token of the same session."""
    return replace(claims, token_id=f"{number:022d}")


def test_round_trip(tokens: JwtAccessTokens, claims: AccessClaims) -> None:
    """Each algorithm reads back what it signed, the first time and from memory."""
    token = tokens.issue(claims)
    assert tokens.verify(token) == claims
    assert tokens.verify(token) == claims


def test_exact_form(tokens: JwtAccessTokens, ring: KeyRing, claims: AccessClaims) -> None:
    """The header is typ, alg and kid; the claims are the eight of RFC 9068's shape."""
    header, payload, _ = tokens.issue(claims).split(".")
    key = ring.access[0]
    assert json.loads(unbase64url(header)) == {"typ": "at+jwt", "alg": key.alg, "kid": key.kid}
    assert json.loads(unbase64url(payload)) == {
        "iss": "https://issuer.test",
        "aud": "backends",
        "sub": "user.1",
        "sid": "s" * 22,
        "jti": "t" * 22,
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 1800,
    }


def test_others_can_verify(
    tokens: JwtAccessTokens, ring: KeyRing, jwks: Mapping[str, dict[str, Any]], claims: AccessClaims
) -> None:
    """A token is an ordinary JWT: another library verifies it by the public half of the key."""
    alg = ring.access[0].alg
    public = {name: value for name, value in jwks[alg].items() if alg == "HS256" or name in "kty crv x y n e"}
    key = jwt.PyJWK(public, alg)
    options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    read = jwt.decode(tokens.issue(claims), key, [alg], options, audience="backends")  # type: ignore[arg-type]
    assert read["sub"] == "user.1"


def test_longest_token_fits(ring: KeyRing, clock: SetClock) -> None:
    """The longest user id, a long issuer and audience stay within the limit on length."""
    tokens = JwtAccessTokens(ring, "i" * 500, "a" * 500, clock, leeway=5)
    claims = AccessClaims("u" * 128, "s" * 22, "t" * 22, NOW, NOW + 1)
    token = tokens.issue(claims)
    assert len(token) < MAX_TOKEN_LENGTH
    assert tokens.verify(token) == claims


def test_expired(tokens: JwtAccessTokens, claims: AccessClaims, clock: SetClock) -> None:
    """A token is good until the second before its exp, and expired from then on, without leeway."""
    token = tokens.issue(claims)
    clock.now = claims.expires_at - 0.001
    tokens.verify(token)
    clock.now = claims.expires_at
    with pytest.raises(TokenExpired):
        tokens.verify(token)


def test_expired_when_first_seen(tokens: JwtAccessTokens, claims: AccessClaims) -> None:
    """A token that comes for the first time after its exp is expired, not invalid."""
    with pytest.raises(TokenExpired):
        tokens.verify(tokens.issue(replace(claims, issued_at=NOW - 60, expires_at=NOW)))


def test_expired_and_forged(tokens: JwtAccessTokens, claims: AccessClaims, clock: SetClock) -> None:
    """Expired is said only of a token whose signature holds."""
    token = tokens.issue(claims)
    clock.now = claims.expires_at
    with pytest.raises(TokenInvalid):
        tokens.verify(token[:-8] + "AAAAAAAA")


def test_leeway(tokens: JwtAccessTokens, claims: AccessClaims, clock: SetClock) -> None:
    """Another server's clock may be 5 seconds ahead, and no more."""
    clock.now = NOW - 5
    tokens.verify(tokens.issue(claims))
    clock.now = NOW - 5.001
    with pytest.raises(TokenInvalid) as refused:
        tokens.verify(tokens.issue(numbered(claims, 1)))
    assert str(refused.value.__cause__) == "iat is in the future"


def test_remembers(ring: KeyRing, claims: AccessClaims, clock: SetClock) -> None:
    """A second look at a token computes no signature."""
    ring, key = counted(ring)
    tokens = JwtAccessTokens(ring, "i", "a", clock, leeway=5)
    token = tokens.issue(claims)
    for _ in range(3):
        tokens.verify(token)
    assert key.verified == 1


def test_never_remembers_a_refusal(ring: KeyRing, claims: AccessClaims, clock: SetClock) -> None:
    """A refused token leaves no trace, so that nobody without tokens can fill the memory."""
    ring, key = counted(ring)
    tokens = JwtAccessTokens(ring, "i", "a", clock, leeway=5, cache_size=1)
    good = tokens.issue(claims)
    tokens.verify(good)
    bad = JwtAccessTokens(ring, "i", "another", clock, leeway=5).issue(claims)
    for _ in range(2):
        with pytest.raises(TokenInvalid):
            tokens.verify(bad)
    assert key.verified == 3
    tokens.verify(good)
    assert key.verified == 3


def test_forgets_the_least_recently_used(ring: KeyRing, claims: AccessClaims, clock: SetClock) -> None:
    """Over its size, the memory gives up the token that was not used for longest."""
    ring, key = counted(ring)
    tokens = JwtAccessTokens(ring, "i", "a", clock, leeway=5, cache_size=2)
    first, second, third = (tokens.issue(numbered(claims, number)) for number in range(3))
    for token in (first, second, first, third, first):
        tokens.verify(token)
    assert key.verified == 3
    tokens.verify(second)
    assert key.verified == 4


def test_memory_is_bounded(
    jwks: Mapping[str, dict[str, Any]],
    refresh_jwk: dict[str, Any],
    claims: AccessClaims,
    clock: SetClock,
) -> None:
    """A remembered token costs about 1 KB, and many more tokens than fit cost nothing more."""
    ring = KeyRing.from_document({"access": {"keys": [jwks["HS256"]]}, "refresh": {"keys": [refresh_jwk]}})
    tokens = JwtAccessTokens(ring, "https://issuer.test", "backends", clock, leeway=5, cache_size=500)
    tracemalloc.start()
    try:
        for number in range(2_000):
            tokens.verify(tokens.issue(numbered(claims, number)))
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 500 * 1_500


def test_rotation(
    jwks: Mapping[str, dict[str, Any]], refresh_jwk: dict[str, Any], claims: AccessClaims, clock: SetClock
) -> None:
    """After a rotation the new key signs, the old one verifies until it is removed, then stops at once."""
    old, new = jwks["HS256"], jwks["EdDSA"]

    def ring(*keys: dict[str, Any]) -> KeyRing:
        return KeyRing.from_document({"access": {"keys": [*keys]}, "refresh": {"keys": [refresh_jwk]}})

    tokens = JwtAccessTokens(ring(old), "i", "a", clock, leeway=5)
    early = tokens.issue(claims)
    tokens.replace_ring(ring(new, old))
    late = tokens.issue(claims)
    assert tokens.verify(early) == tokens.verify(late) == claims
    assert jwt.get_unverified_header(late)["kid"] == new["kid"]

    tokens.replace_ring(ring(new))
    assert tokens.verify(late) == claims
    with pytest.raises(TokenInvalid) as refused:
        tokens.verify(early)
    assert str(refused.value.__cause__) == "not a header of ours"


def test_new_secret_under_the_old_kid(
    jwks: Mapping[str, dict[str, Any]], refresh_jwk: dict[str, Any], claims: AccessClaims, clock: SetClock
) -> None:
    """A ring with another secret under the same kid forgets what the former secret had verified."""

    def ring(key: dict[str, Any]) -> KeyRing:
        return KeyRing.from_document({"access": {"keys": [key]}, "refresh": {"keys": [refresh_jwk]}})

    tokens = JwtAccessTokens(ring(jwks["HS256"]), "i", "a", clock, leeway=5)
    token = tokens.issue(claims)
    tokens.verify(token)
    tokens.replace_ring(ring(jwks["HS256"] | {"k": "A" * 43}))
    with pytest.raises(TokenInvalid):
        tokens.verify(token)


def test_public_key_verifies(
    jwks: Mapping[str, dict[str, Any]], refresh_jwk: dict[str, Any], claims: AccessClaims, clock: SetClock
) -> None:
    """A later entry may be public only: it verifies what the private key signed elsewhere."""
    for alg in ("EdDSA", "ES256", "RS256"):
        public = {name: value for name, value in jwks[alg].items() if name in "kty crv kid alg x y n e"}
        elsewhere = KeyRing.from_document(
            {"access": {"keys": [jwks[alg]]}, "refresh": {"keys": [refresh_jwk]}}
        )
        here = KeyRing.from_document(
            {"access": {"keys": [jwks["HS256"], public]}, "refresh": {"keys": [refresh_jwk]}}
        )
        token = JwtAccessTokens(elsewhere, "i", "a", clock, leeway=5).issue(claims)
        assert JwtAccessTokens(here, "i", "a", clock, leeway=5).verify(token) == claims
