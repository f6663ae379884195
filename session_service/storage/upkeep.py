"""Keeps the index true and the totals at hand; see ``domain.ports.Upkeep``.

A session that idles out or is lost to eviction leaves its entry in ``user_sessions:…`` behind. The
sweep goes through all indexes by ``SCAN`` and ``lua/sweep.lua``, a few hundred entries at a time, so
that no single command holds Redis up, however large one user's index is. One process sweeps at a
time, under a lock that ends by itself if that process dies.
"""

from __future__ import annotations

import asyncio
from typing import Final

from session_service.domain.models import Stats, SweepReport
from session_service.domain.policy import new_id
from session_service.storage import keys
from session_service.storage.indexes import EntryCount, Indexes
from session_service.storage.reads import Reads
from session_service.storage.scanning import Connections, Progress, scan
from session_service.storage.scripts import Mutations, load

_DELETE_IF: Final = load("delete_if")
_EXTEND_IF: Final = load("extend_if")
_COUNTERS_LAG: Final = 0.05
_LOCK_MS: Final = 30_000


class RedisUpkeep:
    """Sweeps the indexes and tells the totals.

    Args:
        connections: for the primaries to scan, and for reading.
        mutations: runs the scripts.
    """

    def __init__(self, connections: Connections, mutations: Mutations) -> None:
        self._connections = connections
        self._reads: Reads = connections.reads
        self._mutations = mutations

    async def sweep(self, progress: Progress | None = None) -> SweepReport:
        """Remove index entries without a session, in bounded steps, and count the rest.

        Args:
            progress: told how many entries were looked at, between steps.
        """
        lock = _Lock(self._mutations)
        if not await lock.acquire():
            return SweepReport(busy=True)
        try:
            return await self._sweep(lock, progress)
        finally:
            await lock.release()

    async def _sweep(self, lock: _Lock, progress: Progress | None) -> SweepReport:
        # Counters follow a change by a moment; what is counted below must not be added once more.
        await asyncio.sleep(_COUNTERS_LAG)
        before = await self._counters("created", "ended")
        now = await self._now_ms()
        total = EntryCount()
        async for primary in self._connections.primaries():
            indexes = Indexes(primary, remove=True)
            async for page in scan(primary, keys.ANY_SESSION_INDEX):
                total += await indexes.count(page)
                if progress:
                    await progress("entries", total.live + total.dead)
                if not await lock.extend():
                    return SweepReport(total.live + total.dead, total.dead)
        counted = ("counted", total.live, "counted_at", now)
        started = ("counted_created", before[0], "counted_ended", before[1])
        await self._mutations.command("HSET", keys.AUDIT_COUNTERS, *counted, *started, acknowledged=False)
        return SweepReport(total.live + total.dead, total.dead)

    async def stats(self) -> Stats:
        """The totals, without a scan."""
        names = ("created", "ended", "counted", "counted_at", "counted_created", "counted_ended")
        counters, [users] = await asyncio.gather(
            self._counters(*names), self._reads.read(keys.USERNAMES, ("ZCARD", keys.USERNAMES))
        )
        created, ended, counted, counted_at, counted_created, counted_ended = counters
        return Stats(
            active_sessions=max(0, counted + created - counted_created - (ended - counted_ended)),
            users=users,
            counted_ms=counted_at,
            created_sessions=created,
            ended_sessions=ended,
        )

    async def _counters(self, *names: str) -> list[int]:
        key = keys.AUDIT_COUNTERS
        [values] = await self._reads.read(key, ("HMGET", key, *names))
        return [int(value or 0) for value in values]

    async def _now_ms(self) -> int:
        [(seconds, microseconds)] = await self._reads.read(keys.AUDIT_COUNTERS, ("TIME",))
        return int(seconds) * 1000 + int(microseconds) // 1000


class _Lock:
    """The right to sweep; it ends by itself after 30 seconds without ``extend``."""

    def __init__(self, mutations: Mutations) -> None:
        self._mutations = mutations
        self._holder = new_id()

    async def acquire(self) -> bool:
        """Take the lock; ``False`` if it is taken."""
        taken = await self._mutations.command("SET", keys.SWEEP_LOCK, self._holder, "NX", "PX", _LOCK_MS)
        return bool(taken)

    async def extend(self) -> bool:
        """Put off its end; ``False`` if it has ended."""
        return bool(await self._mutations.run(_EXTEND_IF, [keys.SWEEP_LOCK], self._holder, _LOCK_MS))

    async def release(self) -> None:
        """Give it back; nothing happens if it has ended."""
        await self._mutations.run(_DELETE_IF, [keys.SWEEP_LOCK], self._holder)
