"""Refresh tokens: authentic, the same each time, and with one spelling."""

from __future__ import annotations

import hashlib
import hmac
import string
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from session_service.domain.errors import RefreshTokenInvalid, RefreshTokenReused
from session_service.domain.models import RefreshClaims
from session_service.tokens.access import JwtAccessTokens
from session_service.tokens.jwk import new_key
from session_service.tokens.keys import KeyRing
from session_service.tokens.refresh import MAX_TOKEN_LENGTH, HmacRefreshTokens
from tests.support.tokens import base64url, unbase64url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from session_service.domain.models import AccessClaims
    from tests.support.tokens import SetClock

SESSION = "s" * 22
ALPHABET = string.ascii_letters + string.digits + "-_."
shared_tokens = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture(scope="session")
def access_jwk() -> dict[str, Any]:
    """The key of the access ring, which refresh tokens never use."""
    return new_key("HS256")


@pytest.fixture(scope="session")
def refresh_ring(access_jwk: dict[str, Any], refresh_jwk: dict[str, Any]) -> KeyRing:
    """A ring with one refresh key, ``refresh-1``."""
    return KeyRing.from_document({"access": {"keys": [access_jwk]}, "refresh": {"keys": [refresh_jwk]}})


@pytest.fixture
def tokens(refresh_ring: KeyRing) -> HmacRefreshTokens:
    """Refresh tokens under that ring."""
    return HmacRefreshTokens(refresh_ring)


def refusal(tokens: HmacRefreshTokens, token: str) -> str:
    """Why the token is refused; fails if it is not, or if another error comes out."""
    with pytest.raises(RefreshTokenInvalid) as refused:
        tokens.verify(token)
    assert not isinstance(refused.value, RefreshTokenReused)
    return str(refused.value.__cause__)


def signed(body: str, jwk: Mapping[str, Any]) -> str:
    """A token of this very body, truly authenticated by the key."""
    mac = hmac.digest(unbase64url(jwk["k"]), body.encode(), hashlib.sha256)
    return f"{body}.{base64url(mac)}"


ANY_CLAIMS = st.builds(
    RefreshClaims,
    user_id=st.from_regex(r"[A-Za-z0-9._~@|:+-]{1,128}", fullmatch=True),
    session_id=st.from_regex(r"[A-Za-z0-9_-]{22}", fullmatch=True),
    generation=st.integers(0, 2**53),
)


@shared_tokens
@given(ANY_CLAIMS)
@example(RefreshClaims("." * 128, "-" * 22, 2**53))
@example(RefreshClaims(f"user.{SESSION}.1.refresh-1", SESSION, 0))
def test_round_trip(tokens: HmacRefreshTokens, claims: RefreshClaims) -> None:
    """Any claims come back, dots in the user id and all."""
    token = tokens.issue(claims)
    assert tokens.verify(token) == claims
    assert len(token) <= MAX_TOKEN_LENGTH


def test_exact_form(tokens: HmacRefreshTokens, refresh_jwk: dict[str, Any]) -> None:
    """The token is user id, session id, generation, kid and the MAC over them, as documented."""
    token = tokens.issue(RefreshClaims("user.1", SESSION, 7))
    assert token == signed(f"user.1.{SESSION}.7.refresh-1", refresh_jwk)


@shared_tokens
@given(ANY_CLAIMS, ANY_CLAIMS)
def test_one_token_per_generation(
    tokens: HmacRefreshTokens, one: RefreshClaims, other: RefreshClaims
) -> None:
    """A generation's token is always the same, and no two generations share one."""
    assert tokens.issue(one) == tokens.issue(one)
    assert (tokens.issue(one) == tokens.issue(other)) == (one == other)


BODIES = {
    "generation leading zero": f"user.{SESSION}.07.refresh-1",
    "generation double zero": f"user.{SESSION}.00.refresh-1",
    "generation plus": f"user.{SESSION}.+7.refresh-1",
    "generation minus": f"user.{SESSION}.-7.refresh-1",
    "generation empty": f"user.{SESSION}..refresh-1",
    "generation hex": f"user.{SESSION}.0x7.refresh-1",
    "generation underscore": f"user.{SESSION}.1_0.refresh-1",
    "generation exponent": f"user.{SESSION}.1e3.refresh-1",
    "generation space": f"user.{SESSION}. 7.refresh-1",
    "generation newline": f"user.{SESSION}.7\n.refresh-1",
    "generation too high": f"user.{SESSION}.{2**53 + 1}.refresh-1",
    "generation far too high": f"user.{SESSION}.{'9' * 200}.refresh-1",
    "session short": f"user.{SESSION[1:]}.7.refresh-1",
    "session long": f"user.{SESSION}s.7.refresh-1",
    "session padding": f"user.{SESSION[1:]}=.7.refresh-1",
    "session empty": "user..7.refresh-1",
    "user empty": f".{SESSION}.7.refresh-1",
    "user missing": f"{SESSION}.7.refresh-1",
    "user long": f"{'u' * 129}.{SESSION}.7.refresh-1",
    "user space": f"us er.{SESSION}.7.refresh-1",
    "user brace": f"us}}er.{SESSION}.7.refresh-1",
    "user nul": f"us\0er.{SESSION}.7.refresh-1",
    "only a kid": "refresh-1",
    "only dots": "...refresh-1",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_authentic_nonsense(tokens: HmacRefreshTokens, refresh_jwk: dict[str, Any], body: str) -> None:
    """Fields of another form are refused even under a true MAC."""
    assert refusal(tokens, signed(body, refresh_jwk)) != "another MAC"


def test_non_ascii(tokens: HmacRefreshTokens, refresh_jwk: dict[str, Any]) -> None:
    """Digits and letters of other scripts are refused, and so are lone surrogates."""
    for body in (f"user.{SESSION}.\u0667.refresh-1", f"us\u00e9r.{SESSION}.7.refresh-1"):
        assert refusal(tokens, signed(body, refresh_jwk)) == "too long or not ASCII"
    good = tokens.issue(RefreshClaims("user", SESSION, 7))
    assert refusal(tokens, f"{good}\ud800") == "too long or not ASCII"


def test_length(tokens: HmacRefreshTokens, refresh_jwk: dict[str, Any]) -> None:
    """A token of more than 512 characters is refused before its MAC is computed."""
    token = signed(f"{'u' * 450}.{SESSION}.7.refresh-1", refresh_jwk)
    assert len(token) > MAX_TOKEN_LENGTH
    assert refusal(tokens, token) == "too long or not ASCII"


def test_other_key(
    tokens: HmacRefreshTokens, access_jwk: dict[str, Any], refresh_jwk: dict[str, Any]
) -> None:
    """A foreign secret under our kid, a foreign kid under our secret, and the access key are refused."""
    body = f"user.{SESSION}.7"
    assert refusal(tokens, signed(f"{body}.refresh-1", new_key("HS256"))) == "another MAC"
    assert refusal(tokens, signed(f"{body}.refresh-1", access_jwk)) == "another MAC"
    assert refusal(tokens, signed(f"{body}.{access_jwk['kid']}", access_jwk)) == "another kid"
    assert refusal(tokens, signed(f"{body}.refresh-2", refresh_jwk)) == "another kid"
    assert refusal(tokens, signed(f"{body}.", refresh_jwk)) == "another kid"


def test_other_fields_under_a_known_mac(tokens: HmacRefreshTokens) -> None:
    """The MAC of one token fits no other user, session or generation."""
    token = tokens.issue(RefreshClaims("user.1", SESSION, 7))
    for old, new in (("user.1", "user.2"), ("user.1", "admin"), (SESSION, "t" * 22), (".7.", ".8.")):
        assert refusal(tokens, token.replace(old, new)) == "another MAC"


def test_mac_spellings(tokens: HmacRefreshTokens) -> None:
    """A MAC cut short, padded, with spare bits, in hex or absent is refused."""
    token = tokens.issue(RefreshClaims("user", SESSION, 7))
    body, _, mac = token.rpartition(".")
    for wrong in (
        "",
        mac[:-1],
        mac[:22],
        mac + "=",
        mac + "A",
        mac[:-1] + base64_neighbour(mac[-1]),
        unbase64url(mac).hex(),
        mac.swapcase(),
        base64url(bytes(32)),
        "A" * 1_048_576,
    ):
        refusal(tokens, f"{body}.{wrong}")


def base64_neighbour(character: str) -> str:
    """The character whose spare low bits alone differ."""
    order = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    return order[order.index(character) ^ 1]


def test_every_single_edit(tokens: HmacRefreshTokens) -> None:
    """No character of a token can be replaced, added or left out, at any place."""
    token = tokens.issue(RefreshClaims("user.1", SESSION, 17))
    for place in range(len(token) + 1):
        head, tail = token[:place], token[place:]
        edits = {head + new + tail for new in ALPHABET + "=+/ \n"}
        edits |= {head + new + tail[1:] for new in ALPHABET + "=+/ \n"} | {head + tail[1:]}
        for edited in edits - {token}:
            with pytest.raises(RefreshTokenInvalid):
                tokens.verify(edited)


@shared_tokens
@given(st.text() | st.text(alphabet=ALPHABET) | st.text().map(lambda head: f"{head}.refresh-1.{'A' * 43}"))
def test_garbage(tokens: HmacRefreshTokens, text: str) -> None:
    """Whatever the text, nothing but RefreshTokenInvalid comes out."""
    refusal(tokens, text)


def test_access_token_as_refresh_token(
    tokens: HmacRefreshTokens, refresh_ring: KeyRing, claims: AccessClaims, clock: SetClock
) -> None:
    """An access token is no refresh token."""
    access = JwtAccessTokens(refresh_ring, "i", "a", clock, leeway=5).issue(claims)
    refusal(tokens, access)
    refusal(tokens, access.replace(".", ".refresh-1."))


def test_rotation(access_jwk: dict[str, Any], refresh_jwk: dict[str, Any], tokens: HmacRefreshTokens) -> None:
    """After a rotation the new key signs, the old one verifies until it is removed."""
    new = new_key("HS256")

    def ring(*keys: dict[str, Any]) -> KeyRing:
        return KeyRing.from_document({"access": {"keys": [access_jwk]}, "refresh": {"keys": [*keys]}})

    claims = RefreshClaims("user", SESSION, 1)
    early = tokens.issue(claims)
    tokens.replace_ring(ring(new, refresh_jwk))
    late = tokens.issue(claims)
    assert late.split(".")[3] == new["kid"]
    assert tokens.verify(early) == tokens.verify(late) == claims

    tokens.replace_ring(ring(new))
    assert tokens.verify(late) == claims
    assert refusal(tokens, early) == "another kid"
