"""Runs histories, many at once in one world, judges each, and counts."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.support.histories import faults
from tests.support.histories.calls import Call, Effect, Outcome, is_within
from tests.support.histories.faults import Fault, FaultKind
from tests.support.histories.judge import Violation, judge
from tests.support.histories.life import SPAN, Life
from tests.support.histories.ways import BOUNDS
from tests.support.histories.world import World
from tests.support.waiting import until

AT_ONCE: Final = 16
"""Histories of one round."""

# One fault of the service may lead to thousands.
_SHOWN: Final = 20

# Till nothing that ended may be accepted any more by anybody.
_TAIL: Final = max(BOUNDS) + 0.15


@dataclass(slots=True)
class Summary:
    """What came of many histories."""

    histories: int = 0
    calls: Counter[tuple[str, Outcome]] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def add(self, calls: Iterable[Call]) -> None:
        """Count the calls of a round."""
        for call in calls:
            kind = call.by.partition(" ")[2] if call.by != "user" else call.what
            if call.effect is Effect.CHECK and call.by == "user":
                continue  # the same call, as a check of its credential
            self.calls[kind, call.outcome] += 1
            self.hits[kind] += call.hit
            if call.effect is Effect.END:
                self.ends[call.what] += call.outcome is Outcome.DONE

    def text(self) -> str:
        """For people."""
        kinds = sorted({kind for kind, _ in self.calls})
        rows = [
            f"  {kind:<20}"
            + "".join(f"{self.calls[kind, outcome]:>9}" for outcome in Outcome)
            + f"{self.hits[kind] or '':>9}"
            for kind in kinds
        ]
        total = sum(self.calls.values())
        broken = ", ".join(f"{what} {count}" for what, count in sorted(self.faults.items())) or "none"
        return "\n".join(
            [
                f"{self.histories} histories, {total} calls, {len(self.violations)} violations",
                f"  {'':<20}" + "".join(f"{outcome:>9}" for outcome in Outcome) + f"{'hits':>9}",
                *rows,
                f"faults: {broken}",
                *self.violations[:_SHOWN],
            ]
        )


class Rounds:
    """Runs rounds in one world.

    Args:
        world: where.
        kinds: what may break.
        at_once: histories of a round.
    """

    def __init__(self, world: World, kinds: Mapping[str, FaultKind], at_once: int = AT_ONCE) -> None:
        self.summary = Summary()
        self._world = world
        self._kinds = kinds
        self._at_once = at_once

    async def run(self, seed: int, broken: Sequence[Fault] | None = None) -> list[Violation]:
        """Run a round: the histories of this seed and those that follow it.

        Args:
            seed: of the first history, and of the faults.
            broken: what breaks, instead of what the seed says.
        """
        world = self._world
        await world.ready()
        if broken is None:
            broken = faults.plan(random.Random(seed), self._kinds)  # noqa: S311 - to be repeated
        lives = [self._life(seed + place) for place in range(self._at_once)]
        world.ends.clear()
        began = time.monotonic()
        strikes = [asyncio.create_task(fault.strike(world, began)) for fault in broken]
        await asyncio.gather(*(life.live() for life in lives))
        await asyncio.gather(*strikes)
        await until(max(time.monotonic(), began + SPAN) + _TAIL)
        checks = [call for client in world.clients for call in await client.collect()]
        return self._judged(seed, lives, broken, checks, began)

    def _life(self, seed: int) -> Life:
        world = self._world
        world.histories += 1
        return Life(world.histories, seed, world.services, world.store, world.clients)

    def _judged(
        self, seed: int, lives: list[Life], broken: Sequence[Fault], checks: list[Call], began: float
    ) -> list[Violation]:
        found: list[Violation] = []
        self.summary.histories += len(lives)
        self.summary.faults.update(fault.what for fault in broken)
        for place, life in enumerate(lives):
            own = [call for call in checks if is_within(call.name, str(life.number))]
            calls = [*life.calls, *own, *self._world.ends]
            self.summary.add([*life.calls, *own])
            violations = judge(calls)
            found += violations
            self.summary.violations += [
                f"history of seed {seed + place} in the round of --seed {seed}: {violation.account(began)}\n"
                f"    while: {'; '.join(map(str, broken)) or 'nothing was broken'}"
                for violation in violations
            ]
        return found
