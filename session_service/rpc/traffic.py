"""Whether calls still come, for a stop that fails none of them."""

from __future__ import annotations

import asyncio
from typing import Final

from session_service.rpc.boundary import BatchObserver

_QUIET_SECONDS: Final = 0.1


class Traffic:
    """Counts the calls on their way to another observer.

    Args:
        observer: told of each call.
    """

    def __init__(self, observer: BatchObserver) -> None:
        self._tell = observer.call_ended
        self._tell_many = observer.calls_ended
        self._ended = 0

    def call_ended(self, method: str, reason: str, seconds: float) -> None:
        """Count a call and pass it on."""
        self._ended += 1
        self._tell(method, reason, seconds)

    def calls_ended(self, method: str, reason: str, seconds: float, count: int) -> None:
        """Count calls that ended together and pass them on."""
        self._ended += count
        self._tell_many(method, reason, seconds, count)

    async def quiet(self, patience: float) -> None:
        """Return when no call has ended for a tenth of a second, or after ``patience`` seconds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        seen = -1
        while seen != self._ended and loop.time() < deadline:
            seen = self._ended
            await asyncio.sleep(_QUIET_SECONDS)
