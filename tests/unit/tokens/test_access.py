"""Access tokens: what is signed is read back, and nothing else is let in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from session_service.domain.errors import TokenExpired

if TYPE_CHECKING:
    from session_service.domain.models import AccessClaims
    from session_service.tokens.access import JwtAccessTokens


def test_round_trip(tokens: JwtAccessTokens, claims: AccessClaims) -> None:
    """Each algorithm reads back what it signed."""
    assert tokens.verify(tokens.issue(claims)) == claims


def test_expired_after_a_hit(tokens: JwtAccessTokens, claims: AccessClaims, clock) -> None:
    """A remembered token is refused as expired from its exp on."""
    token = tokens.issue(claims)
    tokens.verify(token)
    clock.now = claims.expires_at
    with pytest.raises(TokenExpired):
        tokens.verify(token)
