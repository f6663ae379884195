"""The claims of one issuer and audience, written and read; hostile ones are in test_access_hostile.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_service.domain.models import AccessClaims
from session_service.tokens.claims import Claims
from tests.support.tokens import NOW

IDS = st.from_regex(r"[A-Za-z0-9_-]{22}", fullmatch=True)
ANY_CLAIMS = st.builds(
    AccessClaims,
    user_id=st.from_regex(r"[A-Za-z0-9._~@|:+-]{1,128}", fullmatch=True),
    session_id=IDS,
    token_id=IDS,
    issued_at=st.integers(0, NOW),
    expires_at=st.integers(0, 253_402_300_799),
)


@given(st.text(min_size=1), st.text(min_size=1), ANY_CLAIMS)
def test_round_trip(issuer: str, audience: str, claims: AccessClaims) -> None:
    """Any claims come back under any names of issuer and audience."""
    written = Claims(issuer, audience, 5)
    assert written.read(written.write(claims), NOW) == claims


def test_issuer_and_audience_are_compared() -> None:
    """Claims of another issuer, or for another audience, are refused by name."""
    claims = AccessClaims("user", "s" * 22, "t" * 22, NOW, NOW + 1)
    text = Claims("issuer", "audience", 5).write(claims)
    with pytest.raises(ValueError, match="iss is another"):
        Claims("issuer2", "audience", 5).read(text, NOW)
    with pytest.raises(ValueError, match="aud is another"):
        Claims("issuer", "audience2", 5).read(text, NOW)
