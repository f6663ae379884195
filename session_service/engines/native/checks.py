"""Calls that are one check each, served together: one pass, one trip to the store, no task a call."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from session_service.domain.checks import Outcome, Settle
from session_service.domain.errors import Overloaded
from session_service.engines.native.kinds import Answers, Kind, Refusal
from session_service.engines.native.surface import Call, Engine
from session_service.rpc.boundary import OK

_CANCELLED: Final = "CANCELLED"
# More than are under way by default; of some, word comes only when they have been answered.
_MOST_GONE: Final = 16_384


class CheckBatches:
    """Serves calls by the batch.

    Args:
        engine: what carries them.
        check: begins many checks; see ``TokenCheck.check_each``.
        on_idle: called whenever no batch is under way any more.
    """

    def __init__(
        self,
        engine: Engine,
        check: Callable[[Sequence[str], Sequence[float], Settle], None],
        on_idle: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._check = check
        self._on_idle = on_idle
        self._gone: set[int] = set()
        self.under_way = 0
        """Calls that have no answer yet."""

    def begin(self, calls: Sequence[tuple[Kind, Call]]) -> None:
        """Serve calls that came together."""
        self.under_way += len(calls)
        batch = _Batch()
        tokens: list[str] = []
        bounds: list[float] = []
        known: list[Entry] = []
        outcomes: list[Outcome | None] = []
        for kind, call in calls:
            try:
                kind.room.enter()
                token, bound, more = kind.asked(call)
            except Overloaded as error:
                known.append((kind, call, None))
                outcomes.append(Refusal(error))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this call's alone
                known.append((kind, call, None))
                outcomes.append(error)
            else:
                if token is None:
                    known.append((kind, call, more))
                    outcomes.append(None)
                else:
                    batch.entries.append((kind, call, more))
                    tokens.append(token)
                    bounds.append(bound)
        if tokens:
            self._check(tokens, bounds, partial(self._settle_places, batch))
        if known:
            self._settle(batch, known, outcomes)

    def leave(self, number: int) -> None:
        """Note that nobody waits for a call's answer; how its check ends is of no interest any more."""
        if self.under_way:
            if len(self._gone) >= _MOST_GONE:
                self._gone.clear()  # of those that are under way the answers go nowhere, and count as given
            self._gone.add(number)

    def _settle_places(self, batch: _Batch, places: Sequence[int], outcomes: Sequence[Outcome]) -> None:
        entries = batch.entries
        if len(places) != len(entries):
            entries = [entries[place] for place in places]
        self._settle(batch, entries, outcomes)

    def _settle(self, batch: _Batch, entries: Sequence[Entry], outcomes: Sequence[Outcome | None]) -> None:
        """Answer calls and count them."""
        answers: Answers = []
        # What ended alike one after the other is counted together.
        ended: list[tuple[Kind, str, int]] = []
        alike: Kind | None = None
        last, count = OK, 0
        gone = self._gone
        for (kind, call, known), outcome in zip(entries, outcomes, strict=True):
            if gone and call.id in gone:
                gone.discard(call.id)
                reason = _CANCELLED
            else:
                try:
                    reason = kind.answer(call, known, outcome, answers)
                except Exception as error:  # noqa: BLE001 - it cannot be written: that is this call's alone
                    reason = kind.answer(call, known, error, answers)
            if kind is alike and reason == last:
                count += 1
            else:
                if alike is not None:
                    ended.append((alike, last, count))
                alike, last, count = kind, reason, 1
        if alike is not None:
            ended.append((alike, last, count))
        if answers:
            self._engine.answer(answers)
        seconds = time.perf_counter() - batch.started
        for kind, reason, count in ended:
            kind.room.leave(count)
            kind.count(reason, seconds, count)
        self.under_way -= len(entries)
        if not self.under_way:
            gone.clear()
            self._on_idle()


Entry: TypeAlias = tuple[Kind, Call, Any]
"""How a call is answered, the call, and what else is known of it."""


class _Batch:
    """Calls that came together, in the order of their tokens."""

    __slots__ = ("entries", "started")

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.entries: list[Entry] = []
