"""Counters of login attempts in fixed windows; see ``domain.ports.AttemptStore``."""

from __future__ import annotations

from typing import Final

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

    async def take(self, scope: str, subject: str, limit: int, window_seconds: int) -> int:
        """Count one attempt; 0 if it is within the limit, else milliseconds to wait (ASVS 6.3.1)."""
        counter = keys.login_attempts(scope, subject)
        window = window_seconds * 1000
        return int(await self._mutations.run(_TAKE, [counter], limit, window, acknowledged=False))

    async def give_back(self, scope: str, subject: str) -> None:
        """Uncount one attempt, if any is counted: it turned out not to be a failure."""
        counter = keys.login_attempts(scope, subject)
        await self._mutations.run(_GIVE_BACK, [counter], acknowledged=False)

    async def clear(self, scope: str, subject: str) -> None:
        """Forget the attempts of a subject; nothing happens if there are none."""
        await self._mutations.command("DEL", keys.login_attempts(scope, subject), acknowledged=False)
