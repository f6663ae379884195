"""Turns what the store decided into the tokens a client gets."""

from __future__ import annotations

from session_service.domain.models import (
    AccessClaims,
    CreatedSession,
    RefreshClaims,
    Rotation,
    TokenGrant,
)
from session_service.domain.ports import AccessTokens, Clock, RefreshTokens


class Grants:
    """Issues an access token and a refresh token for a session.

    The instants come from the store, so a repeated creation or rotation gives equal claims.
    """

    def __init__(self, access: AccessTokens, refresh: RefreshTokens, clock: Clock) -> None:
        self._access = access
        self._refresh = refresh
        self._clock = clock

    def issue(self, user_id: str, session_id: str, decided: CreatedSession | Rotation) -> TokenGrant:
        """The tokens of a session just created or rotated."""
        expires_at = decided.token_expires_ms // 1000
        now = int(self._clock())
        claims = AccessClaims(
            user_id=user_id,
            session_id=session_id,
            token_id=decided.token_id,
            # Never in the future here: a store whose clock is ahead must not make tokens unusable.
            issued_at=min(now, decided.token_issued_ms // 1000),
            expires_at=expires_at,
        )
        return TokenGrant(
            access_token=self._access.issue(claims),
            expires_in=max(0, expires_at - now),
            refresh_token=self._refresh.issue(RefreshClaims(user_id, session_id, decided.generation)),
            session_id=session_id,
            session_expires_ms=decided.session_expires_ms,
        )
