"""Asking Sentinel where the primary is, anew for each connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.asyncio import Sentinel
from redis.asyncio.connection import Connection
from redis.asyncio.sentinel import MasterNotFoundError
from redis.exceptions import ConnectionError as RedisConnectionError

from session_service.storage.dialling import TcpConnection, TlsConnection, no_retry, tls_kwargs
from session_service.storage.renewing_tls import RenewingTlsConnection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from session_service.storage.settings import Address, RedisSentinel, RedisSettings


class _AsksSentinel(Connection):
    """Connects to whatever Sentinel names at that moment."""

    def __init__(self, *, discover: Callable[[], Awaitable[Address]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._discover = discover

    async def _connect(self) -> None:
        self.host, self.port = await self._discover()
        await super()._connect()  # type: ignore[no-untyped-call]


class SentinelTcpConnection(_AsksSentinel, TcpConnection):
    """A connection in clear to the primary that Sentinel names."""


class SentinelTlsConnection(_AsksSentinel, TlsConnection):
    """A connection over TLS to the primary that Sentinel names."""


class Sentinels:
    """The Sentinels that watch one primary.

    Args:
        sentinel: which, and the primary's name there.
        settings: time-outs and TLS, as for Redis itself.
    """

    def __init__(self, sentinel: RedisSentinel, settings: RedisSettings) -> None:
        kwargs: dict[str, Any] = {
            "socket_connect_timeout": settings.connect_timeout,
            "socket_timeout": settings.connect_timeout,
            "retry": no_retry(),
            "username": sentinel.username or None,
            "password": sentinel.password or None,
        }
        if settings.tls is not None:
            kwargs |= {"ssl": True, **tls_kwargs(settings.tls)}
        self._service = sentinel.service
        self._sentinel = Sentinel(list(sentinel.nodes), sentinel_kwargs=kwargs)  # type: ignore[no-untyped-call]
        if settings.tls is not None:
            for client in self._sentinel.sentinels:
                client.connection_pool.connection_class = RenewingTlsConnection
                client.connection_pool.connection_kwargs["tls_context"] = settings.tls.context

    async def primary(self) -> Address:
        """The primary's address, as the first Sentinel says that knows a healthy one.

        Raises:
            redis.exceptions.RedisError: none does.
        """
        try:
            host, port = await self._sentinel.discover_master(self._service)
        except MasterNotFoundError:
            # Its own text spells out every Sentinel's settings.
            raise RedisConnectionError(f"no sentinel names a healthy primary of {self._service!r}") from None
        return str(host), int(port)

    async def close(self) -> None:
        """Close the connections to them."""
        await self._sentinel.aclose()
