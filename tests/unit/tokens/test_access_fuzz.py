"""Tokens changed at any place, claims of any value, texts of any kind: refused, and nothing else raised."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from session_service.domain.errors import TokenExpired, TokenInvalid
from session_service.tokens.access import JwtAccessTokens
from session_service.tokens.keys import KeyRing
from tests.support.tokens import GOOD_CLAIMS, forge, good_header

if TYPE_CHECKING:
    from collections.abc import Mapping

    from session_service.domain.models import AccessClaims
    from tests.support.tokens import SetClock

ALPHABET = string.ascii_letters + string.digits + "-_"
shared_tokens = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def test_every_single_edit(
    jwks: Mapping[str, dict[str, Any]], refresh_jwk: dict[str, Any], claims: AccessClaims, clock: SetClock
) -> None:
    """No character of a token can be replaced, added or left out (HS256, each place and character)."""
    document = {"access": {"keys": [jwks["HS256"]]}, "refresh": {"keys": [refresh_jwk]}}
    tokens = JwtAccessTokens(
        KeyRing.from_document(document), "https://issuer.test", "backends", clock, leeway=5
    )
    token = tokens.issue(claims)
    assert tokens.verify(token) == claims
    for place in range(len(token) + 1):
        head, tail = token[:place], token[place:]
        edits = {head + new + tail for new in ALPHABET + "=.+/ \n"}
        edits |= {head + new + tail[1:] for new in ALPHABET + "=.+/ \n"} | {head + tail[1:]}
        for edited in edits - {token}:
            with pytest.raises(TokenInvalid):
                tokens.verify(edited)


@shared_tokens
@given(data=st.data())
def test_any_edit(tokens: JwtAccessTokens, claims: AccessClaims, data: st.DataObject) -> None:
    """Whatever stands in the place of any stretch of a token, the result is refused."""
    token = tokens.issue(claims)
    start = data.draw(st.integers(0, len(token)))
    end = data.draw(st.integers(start, min(start + 3, len(token))))
    new = data.draw(st.text(max_size=3) | st.text(alphabet=ALPHABET, max_size=3))
    edited = token[:start] + new + token[end:]
    if edited != token:
        with pytest.raises(TokenInvalid):
            tokens.verify(edited)


@shared_tokens
@given(st.text() | st.text(alphabet=ALPHABET + "."))
def test_garbage(tokens: JwtAccessTokens, text: str) -> None:
    """Whatever the text, nothing but TokenInvalid comes out."""
    with pytest.raises(TokenInvalid):
        tokens.verify(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@shared_tokens
@given(st.sampled_from(sorted(GOOD_CLAIMS)), JSON)
def test_any_claim(tokens: JwtAccessTokens, ring: KeyRing, claim: str, value: object) -> None:
    """Whatever a signed claim holds, the token is read as it says or refused."""
    token = forge(good_header(ring), GOOD_CLAIMS | {claim: value}, ring.access[0])
    try:
        read = tokens.verify(token)
    except TokenInvalid:
        return
    except TokenExpired:
        assert claim == "exp"
        return
    assert claim in ("sub", "iat", "nbf", "exp")
    assert value in (read.user_id, read.issued_at, read.expires_at, value if claim == "nbf" else None)
