"""All connections of one process to Redis: channels for reads and for changes, a client for the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from session_service.storage.cluster import ClusterClient, ClusterTarget
from session_service.storage.primary import PrimaryTarget
from session_service.storage.replay import RecentEnds
from session_service.storage.settings import RedisSentinel, RedisSettings, RedisTls
from session_service.storage.tracking import Tracking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from session_service.storage.reads import PrimaryCommands, Reads

__all__ = ["RedisConnections", "RedisSentinel", "RedisSettings", "RedisTls"]


class RedisConnections:
    """Connects to the Redis of the settings; make it in the process and the loop that use it.

    ``reads`` is the cheap way of reading, ``changes`` that of changing, which a cluster has not; ``client``
    is redis-py. None of them retries: a change whose answer is lost may have been made, and only its caller
    can know whether making it again is safe. ``ends`` are replayed to a primary found anew; whoever ends a
    session notes it there. ``tracking`` tells of changes to what was read over ``reads``.

    Args:
        settings: where Redis is.

    Raises:
        ValueError: the URL is not one.
    """

    def __init__(self, settings: RedisSettings) -> None:
        settings = settings.resolved()
        target = ClusterTarget if settings.cluster else PrimaryTarget
        self.ends = RecentEnds()
        self.tracking = Tracking()
        self._target: ClusterTarget | PrimaryTarget = target(settings, self.ends, self.tracking)
        self.client: Redis | ClusterClient = self._target.client
        self.reads: Reads = self._target.reads
        self.changes: PrimaryCommands | None = self._target.changes

    async def open(self) -> None:
        """Start; returns after the first attempt, also if Redis is away: it is tried until it is there."""
        await self._target.open()

    async def close(self) -> None:
        """End every connection and background task."""
        await self._target.close()

    async def ping(self) -> bool:
        """Whether Redis answers, for health: cheap, and it ends within little more than ``command_timeout``.

        Asks over ``reads`` alone. ``client`` speaks to the same servers with the same credentials, and
        while logins use all its connections it would make a busy service look like a dead one.
        """
        return await self._target.ping()

    def primaries(self) -> AsyncIterator[Redis]:
        """A client for each primary, for commands without a key such as SCAN; good until the next one."""
        return self._target.primaries()
