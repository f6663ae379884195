"""The check: a token's signature and its live session, in one round trip."""

from __future__ import annotations

from session_service.domain.errors import SessionEnded, StoreUnavailable, TokenExpired, TokenMissing
from session_service.domain.models import AccessClaims, Identity, LiveState, SessionPolicy
from session_service.domain.policy import touch_due
from session_service.domain.ports import AccessTokens, Clock, SessionReader, SessionWriter

CLOCK_SKEW_SECONDS = 5


class TokenCheck:
    """Answers whose token this is; everything that accepts a token asks here.

    Args:
        tokens: verifies signature and claims.
        reader: reads the live session.
        writer: notes activity.
        policy: for its ``touch_interval``.
        clock: the wall clock.
    """

    def __init__(
        self,
        tokens: AccessTokens,
        reader: SessionReader,
        writer: SessionWriter,
        policy: SessionPolicy,
        clock: Clock,
    ) -> None:
        self._tokens = tokens
        self._reader = reader
        self._writer = writer
        self._policy = policy
        self._clock = clock
        self._touching: set[str] = set()

    async def check(self, token: str) -> Identity:
        """Accept a token or raise; the one place where a token becomes an identity (I1).

        Args:
            token: a compact JWT.

        Raises:
            TokenMissing: the token is empty.
            TokenInvalid: malformed, forged, or not an access token for this audience.
            TokenExpired: past its own life; the session may still be alive.
            SessionEnded: a good token without a live session (ASVS 7.4.1).
            StoreUnavailable: nothing is known about the session.
        """
        if not token:
            raise TokenMissing
        claims = self._tokens.verify(token)
        live = await self._reader.read(claims.user_id, claims.session_id, claims.token_id)
        if live is None or live.token_session_id != claims.session_id:
            raise self._refusal(claims, live)
        if touch_due(self._policy, int(self._clock() * 1000), live.last_active_ms):
            await self._touch(claims)
        return Identity(
            claims.user_id,
            claims.session_id,
            live.username,
            live.roles,
            claims.expires_at,
            live.last_active_ms,
            live.expires_ms,
        )

    async def _touch(self, claims: AccessClaims) -> None:
        """Note the activity, once for all checks of the session that are under way."""
        if claims.session_id in self._touching:
            return
        self._touching.add(claims.session_id)
        try:
            await self._writer.touch(claims.user_id, claims.session_id)
        except StoreUnavailable:
            return  # the answer is known; a note that cannot be written does not make it unknown
        finally:
            self._touching.discard(claims.session_id)

    def _refusal(self, claims: AccessClaims, live: LiveState | None) -> Exception:
        """Tell a token that Redis's clock let lapse a moment early from an ended session."""
        lapsed = live is not None and live.token_session_id is None
        if lapsed and claims.expires_at - self._clock() <= CLOCK_SKEW_SECONDS:
            return TokenExpired()
        return SessionEnded()
