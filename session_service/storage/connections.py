"""All connections of one process to Redis: a client for changes, a channel for reads."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from redis.asyncio import Redis

from session_service.storage.channel import ReadChannel
from session_service.storage.primary import PrimaryDialler
from session_service.storage.reads import PrimaryReads, Reads
from session_service.storage.settings import RedisSentinel, RedisSettings, RedisTls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["RedisConnections", "RedisSentinel", "RedisSettings", "RedisTls"]


class RedisConnections:
    """Connects to the Redis of the settings; make it in the process and loop that use it.

    ``client`` is redis-py without any retry: a change whose answer is lost may have been done, and only
    its caller can know whether doing it again is safe. ``reads`` is the pipelined channel.

    Args:
        settings: where Redis is.

    Raises:
        ValueError: the settings contradict themselves.
    """

    def __init__(self, settings: RedisSettings) -> None:
        self.settings = settings
        self._dialler = PrimaryDialler(settings)
        self._pool = self._dialler.pool()
        self.client: Redis = Redis.from_pool(self._pool)
        self._channel = ReadChannel(
            name="primary",
            dial=self._dialler.dial,
            is_primary=self._dialler.is_primary,
            command_timeout=settings.command_timeout,
            on_change=self._renew_idle,
        )
        self.reads: Reads = PrimaryReads(self._channel)
        self._renewal: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start; returns after the first attempt, also if Redis is away: it is tried until it is there."""
        await self._channel.open()

    async def close(self) -> None:
        """End every connection and background task."""
        await self._channel.close()
        await self.client.aclose()
        await self._dialler.close()

    async def primaries(self) -> AsyncIterator[Redis]:
        """A client for each primary, for commands without a key such as SCAN; good until the next one."""
        yield self.client

    def _renew_idle(self) -> None:
        # What ended the read channel (a failover, say) holds for idle connections too; those that are
        # in use find out by themselves.
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._pool.disconnect(inuse_connections=False))
