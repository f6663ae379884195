"""The check: a token's signature and its live session, in one round trip or from memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from session_service.domain.errors import (
    SessionEnded,
    StoreUnavailable,
    TokenExpired,
    TokenMissing,
)
from session_service.domain.models import AccessClaims, Identity, LiveState, SessionPolicy
from session_service.domain.near_cache import NearCache
from session_service.domain.policy import ms_to_touch, touch_due
from session_service.domain.ports import AccessTokens, Clock, SessionReader, SessionWriter, State
from session_service.domain.watching import SessionWatches, Watch

CLOCK_SKEW_SECONDS = 5

# A signature that this process has not seen takes some 0.1 ms: after so many, others have a turn.
_SIGNATURES_IN_A_ROW: Final = 32
_ROW_SECONDS: Final = 0.001
_TOUCHES_AT_ONCE: Final = 8

Outcome: TypeAlias = Identity | Exception
"""What ``TokenCheck.check`` returns or raises."""

Asked: TypeAlias = tuple[str | None, float, str | None]
"""A token, seconds by which the answer may be out of date, a role that its user must have.

No token: nothing is to be checked. No role: anybody will do. A plain tuple, as one is made at every check.
"""

Settle: TypeAlias = Callable[[Sequence[int], Sequence[Outcome]], None]
"""Takes the outcomes of some checks of a batch: their places in it, and what each came to."""


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
        self._tasks: set[asyncio.Task[None]] = set()

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
        return await self._checked(self._claims(token), max_staleness)

    async def _checked(self, claims: AccessClaims, max_staleness: float) -> Identity:
        if max_staleness:
            known = self._near.get(claims.token_id, max_staleness)
            if known is not None:
                return known
            if claims.token_id not in self._near:
                return await self._remembered(claims)
        identity = self._judged(claims, await self._reader.read(claims))
        if self._touch_due(identity):
            await self._touch(claims)
        return identity

    def check_each(self, tokens: Sequence[str], bounds: Sequence[float], settle: Settle) -> None:
        """Begin many checks that came by themselves; each ends as ``check`` would end it.

        All that need the store share a trip to it. What is known without it is settled before this returns.

        Args:
            tokens: compact JWTs; one may be there more than once.
            bounds: for each token what ``check`` takes as ``max_staleness``.
            settle: called with outcomes as they become known, until each place had its own; must not raise.
        """
        self._check_from(0, tokens, bounds, settle)

    async def check_all(self, tokens: Sequence[str]) -> list[Outcome]:
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

    def _check_from(self, first: int, tokens: Sequence[str], bounds: Sequence[float], settle: Settle) -> None:
        """Look at the tokens from a place on, and give others a turn where that takes long."""
        known: list[int] = []
        outcomes: list[Outcome] = []
        asked: list[int] = []
        claims: list[AccessClaims] = []
        row_ends, begun = first + _SIGNATURES_IN_A_ROW, self._steady()
        near = self._near
        for place in range(first, len(tokens)):
            if place == row_ends:
                row_ends += _SIGNATURES_IN_A_ROW
                if self._steady() - begun > _ROW_SECONDS:
                    asyncio.get_running_loop().call_soon(self._check_from, place, tokens, bounds, settle)
                    break
            bound = bounds[place]
            try:
                each = self._claims(tokens[place])
                identity = near.get(each.token_id, bound) if bound else None
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this token's alone
                known.append(place)
                outcomes.append(error)
                continue
            if identity is not None:
                known.append(place)
                outcomes.append(identity)
            elif bound and each.token_id not in near:
                self._begin(self._settle_alone(place, each, bound, settle))
            else:
                asked.append(place)
                claims.append(each)
        if claims:
            self._reader.ask(claims, partial(self._settle_read, asked, claims, settle))
        if known:
            settle(known, outcomes)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _settle_alone(self, place: int, claims: AccessClaims, bound: float, settle: Settle) -> None:
        outcome: Outcome
        try:
            outcome = await self._checked(claims, bound)
        except Exception as error:  # noqa: BLE001 - the outcome
            outcome = error
        settle((place,), (outcome,))

    def _settle_read(
        self,
        asked: list[int],
        claims: list[AccessClaims],
        settle: Settle,
        share: Sequence[int],
        states: Sequence[State],
    ) -> None:
        """Judge what the store says; whose activity is to be noted is settled after that, as in ``check``.

        Args:
            asked: places in the batch of those that the store was asked for.
            claims: theirs.
            settle: takes the outcomes.
            share: places among them of those that it says something of.
            states: what it says.
        """
        places = asked
        if len(share) != len(claims):
            places = [asked[each] for each in share]
            claims = [claims[each] for each in share]
        outcomes = [self._outcome(each, state) for each, state in zip(claims, states, strict=True)]
        due = self._all_due(outcomes)
        if due:
            late = frozenset(due)
            self._begin(self._settle_touched(due, places, claims, outcomes, settle))
            rest = [place for place in range(len(places)) if place not in late]
            settle([places[each] for each in rest], [outcomes[each] for each in rest])
        else:
            settle(places, outcomes)

    async def _settle_touched(
        self,
        due: list[int],
        places: list[int],
        claims: list[AccessClaims],
        outcomes: list[Outcome],
        settle: Settle,
    ) -> None:
        answers = [outcomes[each] for each in due]
        try:
            await self._touch_all([claims[each] for each in due], answers)
        except Exception as error:  # noqa: BLE001 - the outcome, as in `check`
            answers = [error] * len(due)
        settle([places[each] for each in due], answers)

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

    def _judged(self, claims: AccessClaims, live: State) -> Identity:
        """The identity, if token and session belong together."""
        outcome = self._outcome(claims, live)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _outcome(self, claims: AccessClaims, state: State) -> Outcome:
        """What a token comes to whose session is in this state; the one place that says so."""
        memory = claims.memory
        if state is memory.state and memory.identity is not None:
            return memory.identity
        if isinstance(state, Exception):
            return state
        if state is None or state.token_session_id != claims.session_id:
            return self._refusal(claims, state)
        memory.state = state
        memory.identity = Identity(
            claims.user_id,
            claims.session_id,
            state.username,
            state.roles,
            claims.expires_at,
            state.last_active_ms,
            state.expires_ms,
        )
        return memory.identity

    def _all_due(self, outcomes: Sequence[Outcome]) -> list[int]:
        """The places of sessions whose activity is to be noted."""
        policy, now_ms = self._policy, self._now_ms()
        active = [outcome.last_active_ms for outcome in outcomes if type(outcome) is Identity]
        # All are between the first and the last, so that for most batches two of them will do.
        if not active or not (
            touch_due(policy, now_ms, min(active)) or touch_due(policy, now_ms, max(active))
        ):
            return []
        return [
            place
            for place, outcome in enumerate(outcomes)
            if isinstance(outcome, Identity) and touch_due(policy, now_ms, outcome.last_active_ms)
        ]

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

    async def _touch_all(self, claims: Sequence[AccessClaims], answers: Sequence[Outcome]) -> None:
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
