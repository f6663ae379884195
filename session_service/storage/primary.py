"""Finding the primary of a Redis that is no cluster: at an address, or wherever Sentinel says it is."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection, Connection
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from session_service.storage.channel import Channel
from session_service.storage.dialling import (
    Era,
    SocketConnection,
    TcpConnection,
    connection_kwargs,
    dial,
    greet_primary,
    node_target,
)
from session_service.storage.reads import PrimaryCommands
from session_service.storage.sentinel import Sentinels, SentinelTcpConnection, SentinelTlsConnection
from session_service.storage.tracking import Tracking, Untracked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from session_service.storage.link import Link
    from session_service.storage.replay import RecentEnds
    from session_service.storage.settings import RedisSettings


class PrimaryDialler:
    """Opens connections to the primary of a Redis that is no cluster.

    Args:
        settings: where it is, with the URL resolved.

    ``era`` is that of all its connections.
    """

    def __init__(self, settings: RedisSettings) -> None:
        self.era = Era()
        self._settings = settings
        self._sentinels = None if settings.sentinel is None else Sentinels(settings.sentinel, settings)
        self._class, self._kwargs = self._target()

    async def dial(self) -> AbstractConnection:
        """Open and greet a connection.

        Raises:
            redis.exceptions.RedisError: it cannot be had within ``connect_timeout``.
        """
        return await dial(self._class, **self._kwargs)

    def pool(self) -> BlockingConnectionPool:
        """Make a bounded pool; who finds it empty waits as long as for a connection, then fails."""
        return BlockingConnectionPool(
            max_connections=self._settings.max_connections,
            timeout=self._settings.connect_timeout,
            connection_class=self._class,
            # Else each connection begins with a command that only Redis's own cloud knows.
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
            **self._kwargs,
        )

    async def is_primary(self, connection: AbstractConnection, _link: Link) -> bool:
        """Whether Sentinel, where it can be asked, still names this connection's server."""
        if self._sentinels is None or not isinstance(connection, Connection):
            return True
        try:
            return await self._sentinels.primary() == (connection.host, connection.port)
        except RedisError:
            return True

    async def close(self) -> None:
        """Close the connections to the Sentinels."""
        if self._sentinels is not None:
            await self._sentinels.close()

    def _target(self) -> tuple[type[AbstractConnection], dict[str, Any]]:
        settings = self._settings
        primary = {"redis_connect_func": greet_primary, "era": self.era}
        if settings.unix_socket_path:
            path = {"path": settings.unix_socket_path}
            return SocketConnection, connection_kwargs(settings) | primary | path
        make, kwargs = node_target(settings, (settings.host, settings.port))
        if self._sentinels is None:
            return make, kwargs | primary
        asking = SentinelTcpConnection if make is TcpConnection else SentinelTlsConnection
        return asking, kwargs | primary | {"discover": self._sentinels.primary}


class PrimaryTarget:
    """One primary: ``reads`` reads it, ``changes`` changes it while it is there, ``client`` does all else.

    Changes have a channel of their own, since Redis may hold up who writes while it serves who reads (CLIENT
    PAUSE WRITE, as in a planned failover).

    Args:
        settings: where it is, with the URL resolved.
        ends: replayed to it whenever it is found anew.
        tracking: told of the keys that change.
    """

    def __init__(self, settings: RedisSettings, ends: RecentEnds, tracking: Tracking) -> None:
        dialler = self._dialler = PrimaryDialler(settings)
        channel = partial(
            Channel,
            dial=dialler.dial,
            prepare=ends.replay,
            is_primary=dialler.is_primary,
            command_timeout=settings.command_timeout,
        )
        self._reading = channel(name="primary", tracking=tracking, on_change=self._reads_lost)
        self._changing = channel(
            name="primary, changes", tracking=Untracked(), on_change=dialler.era.end, changing=True
        )
        self.client: Redis = Redis.from_pool(dialler.pool())
        self.reads = PrimaryCommands(self._reading)
        self.changes = PrimaryCommands(self._changing)

    def _reads_lost(self) -> None:
        """Dial anew for changes as well: what is read and what is changed must be one server.

        Whatever ended the channel, a failover say, holds for the other connections too. Left open, they would
        go on changing a server that nobody reads any more.
        """
        self._dialler.era.end()
        self._changing.renew("reads are dialled anew")

    async def open(self) -> None:
        """Start; returns after the first attempts."""
        for channel in (self._reading, self._changing):
            channel.start()
        await asyncio.gather(self._reading.attempted(), self._changing.attempted())

    async def close(self) -> None:
        """End every connection."""
        await self._reading.close()
        await self._changing.close()
        await self.client.aclose()
        await self._dialler.close()

    async def ping(self) -> bool:
        """Whether it answers."""
        return await self._reading.answers()

    async def primaries(self) -> AsyncIterator[Redis]:
        """The one client."""
        yield self.client
