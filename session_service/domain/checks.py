"""The check: a token's signature and its live session, in one round trip or from memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from session_service.domain.errors import (
    SessionEnded,
    SessionServiceError,
    StoreUnavailable,
    TokenExpired,
    TokenMissing,
)
from session_service.domain.models import AccessClaims, Identity, LiveState, SessionPolicy
from session_service.domain.near_cache import NearCache
from session_service.domain.policy import ms_to_touch, touch_due
from session_service.domain.ports import AccessTokens, Clock, SessionReader, SessionWriter
from session_service.domain.watching import SessionWatches, Watch

CLOCK_SKEW_SECONDS = 5

# A signature that this process has not seen takes some 0.1 ms: after so many, others have a turn.
_SIGNATURES_IN_A_ROW: Final = 32
_TOUCHES_AT_ONCE: Final = 8


class TokenCheck:
    """Answers whose token this is; everything that accepts a token asks here.

    Args:
        tokens: verifies signature and claims.
        reader: reads the live session.
        watches: reads it too, and tells of its changes from then on.
        writer: notes activity.
        policy: for its ``touch_interval``.
        clock: the wall clock.
        steady: the clock that staleness is measured by.
    """

    def __init__(
        self,
        tokens: AccessTokens,
        reader: SessionReader,
        watches: SessionWatches,
        writer: SessionWriter,
        *,
        policy: SessionPolicy,
        clock: Clock,
        steady: Clock,
    ) -> None:
        self._tokens = tokens
        self._reader = reader
        self._watches = watches
        self._near = NearCache(watches, steady)
        self._writer = writer
        self._policy = policy
        self._clock = clock
        self._steady = steady
        self._touching: set[str] = set()
        self._one_batch = asyncio.Lock()

    async def check(self, token: str, max_staleness: float = 0.0) -> Identity:
        """Accept a token or raise; the one place where a token becomes an identity (I1).

        Args:
            token: a compact JWT.
            max_staleness: seconds by which the answer may be out of date; 0 = the store is asked.

        Raises:
            TokenMissing: the token is empty.
            TokenInvalid: malformed, forged, or not an access token for this audience.
            TokenExpired: past its own life; the session may still be alive.
            SessionEnded: a good token without a live session (ASVS 7.4.1).
            StoreUnavailable: nothing is known about the session.
        """
        claims = self._claims(token)
        if max_staleness:
            known = self._near.get(claims.token_id, max_staleness)
            if known is not None:
                return known
            if claims.token_id not in self._near:
                return await self._remembered(claims)
        live = await self._reader.read(claims.user_id, claims.session_id, claims.token_id)
        identity = self._judged(claims, live)
        if self._touch_due(identity):
            await self._touch(claims)
        return identity

    async def check_all(self, tokens: Sequence[str]) -> list[Identity | Exception]:
        """Check many tokens strictly in one round trip, each as if it were alone.

        Args:
            tokens: compact JWTs; one may be there more than once.

        Returns:
            For each token, in order, what ``check`` returns or raises.
        """
        # A batch comes as one call and is the work of 256: were many at it at once, single checks would wait.
        async with self._one_batch:
            claims = await self._claims_of_all(tokens)
        good = [each for each in claims if isinstance(each, AccessClaims)]
        states = await self._reader.read_all(good) if good else []
        answers = [self._outcome(each, state) for each, state in zip(good, states, strict=True)]
        await self._touch_all(good, answers)
        rest = iter(answers)
        return [next(rest) if isinstance(each, AccessClaims) else each for each in claims]

    async def watch(self, token: str, watch: Watch) -> tuple[Identity, float]:
        """Check strictly as ``check`` does, and have ``watch`` told when the answer no longer holds.

        Returns:
            The identity, and for how many seconds from before the call it may be remembered if nothing is
            told; that only if ``watch.feed`` is set.
        """
        return await self._watched(self._claims(token), watch)

    def _claims(self, token: str) -> AccessClaims:
        if not token:
            raise TokenMissing
        return self._tokens.verify(token)

    async def _claims_of_all(self, tokens: Sequence[str]) -> list[AccessClaims | Exception]:
        found: list[AccessClaims | Exception] = []
        for place, token in enumerate(tokens, start=1):
            try:
                found.append(self._claims(token))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this token's alone
                found.append(error)
            if place % _SIGNATURES_IN_A_ROW == 0:
                await asyncio.sleep(0)
        return found

    async def _remembered(self, claims: AccessClaims) -> Identity:
        place = self._near.place(claims.token_id)
        began = self._steady()
        try:
            identity, valid_for = await self._watched(claims, place)
        except BaseException:
            self._near.drop(place)
            raise
        # Until its activity is to be noted at most: so a check that is answered from memory need not look.
        to_touch = ms_to_touch(self._policy, self._now_ms(), identity.last_active_ms) / 1000
        self._near.keep(place, identity, began + min(valid_for, to_touch))
        return identity

    async def _watched(self, claims: AccessClaims, watch: Watch) -> tuple[Identity, float]:
        try:
            identity, valid_for = await self._read_watched(claims, watch)
            if self._touch_due(identity):
                # Our own note is a change as any other. So the answer is read again, once it has been told
                # of: until then the new answer would look as if it had changed since.
                self._watches.forget(watch)
                if await self._touch(claims):
                    await self._watches.caught_up()
                    identity, valid_for = await self._read_watched(claims, watch)
        except BaseException:
            self._watches.forget(watch)
            raise
        return identity, valid_for

    async def _read_watched(self, claims: AccessClaims, watch: Watch) -> tuple[Identity, float]:
        found = await self._watches.read(claims.user_id, claims.session_id, claims.token_id, watch)
        if found is None:
            raise self._refusal(claims, None)
        # A token's own expiry counts whole seconds, and so may come before that of its key.
        valid_for = min(found.valid_for, claims.expires_at - self._clock())
        return self._judged(claims, found.live), valid_for

    def _judged(self, claims: AccessClaims, live: LiveState | None) -> Identity:
        """The identity, if token and session belong together."""
        if live is None or live.token_session_id != claims.session_id:
            raise self._refusal(claims, live)
        return Identity(
            claims.user_id,
            claims.session_id,
            live.username,
            live.roles,
            claims.expires_at,
            live.last_active_ms,
            live.expires_ms,
        )

    def _outcome(self, claims: AccessClaims, state: LiveState | Exception | None) -> Identity | Exception:
        if isinstance(state, Exception):
            return state
        try:
            return self._judged(claims, state)
        except SessionServiceError as refusal:
            return refusal

    def _touch_due(self, identity: Identity) -> bool:
        return touch_due(self._policy, self._now_ms(), identity.last_active_ms)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

    async def _touch(self, claims: AccessClaims) -> bool:
        """Note the activity, once for all checks of the session that are under way; whether it was noted."""
        if claims.session_id in self._touching:
            return False
        self._touching.add(claims.session_id)
        try:
            await self._writer.touch(claims.user_id, claims.session_id)
        except StoreUnavailable:
            return False  # the answer is known; a note that cannot be written does not make it unknown
        finally:
            self._touching.discard(claims.session_id)
        return True

    async def _touch_all(
        self, claims: Sequence[AccessClaims], answers: Sequence[Identity | Exception]
    ) -> None:
        """Note the activity of those for whom it is due, a few at a time, until it cannot be noted."""
        due = {
            each.session_id: each
            for each, answer in zip(claims, answers, strict=True)
            if isinstance(answer, Identity)
            and self._touch_due(answer)
            and each.session_id not in self._touching
        }
        if not due:
            return
        waiting = iter(due.values())

        async def touch_in_turn() -> None:
            for each in waiting:
                if not await self._touch(each):
                    return

        async with asyncio.TaskGroup() as group:
            for _ in range(min(_TOUCHES_AT_ONCE, len(due))):
                group.create_task(touch_in_turn())

    def _refusal(self, claims: AccessClaims, live: LiveState | None) -> Exception:
        """Tell a token that Redis's clock let lapse a moment early from an ended session."""
        lapsed = live is not None and live.token_session_id is None
        if lapsed and claims.expires_at - self._clock() <= CLOCK_SKEW_SECONDS:
            return TokenExpired()
        return SessionEnded()
