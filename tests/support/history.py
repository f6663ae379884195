"""A history of checks on a monotonic clock, to be judged when all is over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.support.outcomes import outcome


@dataclass(frozen=True, slots=True)
class Check:
    """One check: when it began and ended, in seconds, and what it answered."""

    began: float
    ended: float
    outcome: str


class History:
    """Checks the same thing over and over until stopped, from several places at once.

    Args:
        *checks: each is called again as soon as its last call has ended.
    """

    def __init__(self, *checks: Callable[[], Awaitable[object]]) -> None:
        self.checks: list[Check] = []
        self._stopping = False
        self._tasks = [asyncio.create_task(self._repeat(check)) for check in checks]

    async def stop(self) -> None:
        """Let the last checks end."""
        self._stopping = True
        await asyncio.gather(*self._tasks)

    def since(self, instant: float) -> list[Check]:
        """The checks that began at this instant or later."""
        return [check for check in self.checks if check.began >= instant]

    def until(self, instant: float) -> list[Check]:
        """The checks that had ended by this instant."""
        return [check for check in self.checks if check.ended <= instant]

    async def _repeat(self, check: Callable[[], Awaitable[object]]) -> None:
        while not self._stopping:
            began = time.monotonic()
            answer = await outcome(check())
            self.checks.append(Check(began, time.monotonic(), answer))
