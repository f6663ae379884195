"""Counters of login attempts in fixed windows; see ``domain.ports.AttemptStore``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from session_service.domain.ports import Counter
from session_service.storage import keys
from session_service.storage.scripts import Mutations, load

_TAKE: Final = load("take")
_GIVE_BACK: Final = load("give_back")


class RedisAttempts:
    """Counts attempts by Redis's clock, for all processes together.

    Not waited for by replicas: a failover may forgive a few attempts.

    Args:
        mutations: runs the scripts.
    """

    __slots__ = ("_mutations",)

    def __init__(self, mutations: Mutations) -> None:
        self._mutations = mutations

    async def take(self, counters: Sequence[Counter], window_seconds: int) -> int:
        """Count one attempt on each, up to the first that is full (ASVS 6.3.1); see ``AttemptStore.take``."""
        window = window_seconds * 1000
        for together in self._steps(counters):
            limits = [each.limit for each in together]
            wait = await self._mutations.run(_TAKE, _keys(together), window, *limits, acknowledged=False)
            if wait:
                return int(wait)
        return 0

    async def give_back(self, counters: Sequence[Counter], *, clear_first: bool = False) -> None:
        """Uncount one attempt on each, if any is counted; see ``AttemptStore.give_back``."""
        cleared = int(clear_first)
        for together in self._steps(counters):
            await self._mutations.run(_GIVE_BACK, _keys(together), cleared, acknowledged=False)
            cleared = 0

    def _steps(self, counters: Sequence[Counter]) -> Iterable[Sequence[Counter]]:
        """All in one step, but in a cluster, where each counter is in a slot of its own."""
        return [counters] if self._mutations.one_slot else [[each] for each in counters]


def _keys(counters: Sequence[Counter]) -> list[str]:
    return [keys.login_attempts(each.scope, each.subject) for each in counters]
