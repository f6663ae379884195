"""Going through the entries of many indexes, and telling those with a session from those without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import ClusterCrossSlotError

from session_service.storage import keys
from session_service.storage.scanning import Call, run_each
from session_service.storage.scripts import load

_SWEEP: Final = load("sweep")
# What one command looks at: some 0.3 ms of Redis's time, so that nobody waits for it noticeably.
_BATCH: Final = 200
_SMALLEST_SHARE: Final = 5

_Cursor = tuple[bytes, bytes]
_TOP: Final[_Cursor] = (b"", b"")


@dataclass(frozen=True, slots=True)
class EntryCount:
    """Index entries with and without a session."""

    live: int = 0
    dead: int = 0

    def __add__(self, other: EntryCount) -> EntryCount:
        return EntryCount(self.live + other.live, self.dead + other.dead)


class Indexes:
    """Counts the entries of one primary's indexes, several indexes to a command where that is possible.

    Args:
        primary: where they are.
        remove: whether to remove entries without a session.
    """

    def __init__(self, primary: Redis, *, remove: bool) -> None:
        self._primary = primary
        self._remove = remove
        # A cluster wants a command for each, as their slots differ.
        self._together = True

    async def count(self, indexes: Sequence[str]) -> EntryCount:
        """Go through all entries of these indexes, batch by batch.

        Raises:
            StoreUnavailable: Redis cannot answer.
        """
        total = EntryCount()
        left: Mapping[str, _Cursor] = dict.fromkeys(indexes, _TOP)
        while left:
            count, left = await self._batch(left)
            total += count
        return total

    async def _batch(self, cursors: Mapping[str, _Cursor]) -> tuple[EntryCount, dict[str, _Cursor]]:
        """Look at a share of each index; those not done with their new cursors."""
        share = max(_SMALLEST_SHARE, _BATCH // len(cursors))
        if self._together:
            try:
                [reply] = await run_each(self._primary, _SWEEP, [self._call(share, cursors)])
                return _read(reply, list(cursors))
            except ClusterCrossSlotError:
                self._together = False
        calls = [self._call(share, {index: cursor}) for index, cursor in cursors.items()]
        total = EntryCount()
        left: dict[str, _Cursor] = {}
        for index, reply in zip(cursors, await run_each(self._primary, _SWEEP, calls), strict=True):
            count, unfinished = _read(reply, [index])
            total += count
            left |= unfinished
        return total, left

    def _call(self, share: int, cursors: Mapping[str, _Cursor]) -> Call:
        words = [
            word
            for index, cursor in cursors.items()
            for word in (keys.session_prefix(keys.owner(index)), *cursor)
        ]
        return Call(list(cursors), [share, int(self._remove), *words])


def _read(reply: Sequence[Any] | None, indexes: Sequence[str]) -> tuple[EntryCount, dict[str, _Cursor]]:
    """A reply of the script; one whose slot has moved meanwhile is done with, until the next time."""
    if reply is None:
        return EntryCount(), {}
    live, dead, *unfinished = reply
    places = zip(unfinished[::3], unfinished[1::3], unfinished[2::3], strict=True)
    return EntryCount(live, dead), {indexes[place - 1]: (cursor, score) for place, cursor, score in places}
