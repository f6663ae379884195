"""Finding the primary and opening connections to it with redis-py.

redis-py does what it is good at: addresses, TLS, AUTH, HELLO 3, SELECT, CLIENT SETNAME. What is added
here: the address is asked of Sentinel anew for each connection, a replica is refused, and greeting has
the same time limit as connecting.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from redis.asyncio import BlockingConnectionPool, Sentinel
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
    parse_url,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from session_service.storage.faults import DEMOTED_CODES, fault_code

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from session_service.storage.settings import Address, RedisSettings

CLIENT_NAME: Final = "session-service"
"""What ``CLIENT LIST`` shows."""

_URL_PARTS: Final = frozenset({"host", "port", "db", "username", "password", "path", "connection_class"})


class _LeavesReplicas(AbstractConnection):
    """Ends the connection when Redis says that it is no longer the primary; the next one finds it."""

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as in redis-py
        """Read a reply; see redis-py."""
        try:
            return await super().read_response(*args, **kwargs)
        except ResponseError as error:
            if fault_code(error) in DEMOTED_CODES:
                await self.disconnect(nowait=True)
            raise


class TcpConnection(_LeavesReplicas, Connection):
    """A connection in clear."""


class TlsConnection(_LeavesReplicas, SSLConnection):
    """A connection over TLS."""


class SocketConnection(_LeavesReplicas, UnixDomainSocketConnection):
    """A connection over a unix socket."""


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


class PrimaryDialler:
    """Opens connections to the primary of a Redis that is no cluster.

    Args:
        settings: where it is.

    Raises:
        ValueError: the URL is not one; the message does not repeat it.
    """

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        self._sentinel = _sentinel(settings)
        self._class, self._kwargs = self._target()

    async def dial(self) -> AbstractConnection:
        """Open and greet a connection.

        Raises:
            redis.exceptions.RedisError: it cannot be had within ``connect_timeout``.
        """
        connection = self._class(**self._kwargs)
        await connection.connect()  # type: ignore[no-untyped-call]
        return connection

    def pool(self) -> BlockingConnectionPool:
        """Make a bounded pool; who finds it empty waits as long as for a connection, then fails."""
        return BlockingConnectionPool(
            max_connections=self._settings.max_connections,
            timeout=self._settings.connect_timeout,
            connection_class=self._class,
            **self._kwargs,
        )

    async def is_primary(self, connection: AbstractConnection) -> bool:
        """Whether Sentinel, where it can be asked, still names this connection's server."""
        if self._sentinel is None or not isinstance(connection, Connection):
            return True
        try:
            return await self._discover() == (connection.host, connection.port)
        except RedisConnectionError:
            return True

    async def close(self) -> None:
        """Close the connections to the Sentinels."""
        if self._sentinel is not None:
            await self._sentinel.aclose()

    async def _discover(self) -> Address:
        assert self._sentinel is not None  # noqa: S101 - for the type checker
        assert self._settings.sentinel is not None  # noqa: S101
        host, port = await self._sentinel.discover_master(self._settings.sentinel.service)
        return str(host), int(port)

    def _target(self) -> tuple[type[AbstractConnection], dict[str, Any]]:
        settings = self._settings
        kwargs = connection_kwargs(settings)
        if settings.url:
            parts = _parse_url(settings.url)
            scheme = parts.pop("connection_class", None)
            kwargs |= parts
            if scheme is UnixDomainSocketConnection:
                return SocketConnection, kwargs
            tls = scheme is SSLConnection or settings.tls is not None
            return (TlsConnection, kwargs | tls_kwargs(settings)) if tls else (TcpConnection, kwargs)
        if settings.unix_socket_path:
            return SocketConnection, kwargs | {"path": settings.unix_socket_path}
        kwargs |= {"host": settings.host, "port": settings.port} | tls_kwargs(settings)
        if settings.sentinel is not None:
            kwargs["discover"] = self._discover
            return (SentinelTlsConnection if settings.tls else SentinelTcpConnection), kwargs
        return (TlsConnection if settings.tls else TcpConnection), kwargs


def connection_kwargs(settings: RedisSettings) -> dict[str, Any]:
    """What every redis-py connection is made with, cluster or not."""
    return {
        "db": settings.db,
        "username": settings.username or None,
        "password": settings.password or None,
        "client_name": CLIENT_NAME,
        "driver_info": None,
        "protocol": 3,
        "socket_connect_timeout": settings.connect_timeout,
        "socket_timeout": settings.command_timeout,
        # Never: a command whose answer was lost may have been done (hazards: an INCR ran twice).
        "retry": Retry(NoBackoff(), 0),
        "redis_connect_func": greet_primary,
    }


def tls_kwargs(settings: RedisSettings) -> dict[str, Any]:
    """The TLS part of a connection's arguments; empty without TLS."""
    if settings.tls is None:
        return {}
    return {
        "ssl_ca_certs": settings.tls.ca_file or None,
        "ssl_certfile": settings.tls.cert_file or None,
        "ssl_keyfile": settings.tls.key_file or None,
    }


async def greet_primary(connection: AbstractConnection) -> None:
    """Authenticate and set up a connection, and refuse one to a replica or a server still loading.

    Raises:
        redis.exceptions.RedisError: it is refused, or took longer than the time to connect.
    """
    try:
        async with asyncio.timeout(connection.socket_connect_timeout):
            await connection.on_connect()
            await _require_primary(connection)
    except TimeoutError as error:
        raise RedisTimeoutError("redis accepted the connection but did not greet in time") from error


async def _require_primary(connection: AbstractConnection) -> None:
    # HELLO tells the role and needs no rights, unlike ROLE; DBSIZE, unlike HELLO, is refused while loading.
    await connection.send_command("HELLO")
    hello = await connection.read_response()
    if hello[b"role"] != b"master":
        raise RedisConnectionError("redis is a replica here")
    await connection.send_command("DBSIZE")
    await connection.read_response()


def _parse_url(url: str) -> dict[str, Any]:
    try:
        parts = dict(parse_url(url))
    except ValueError:
        raise ValueError("redis: url must be redis://, rediss:// or unix://") from None
    unknown = parts.keys() - _URL_PARTS
    if unknown:
        raise ValueError(f"redis: url must not carry {', '.join(sorted(unknown))}; configure it by name")
    return parts


def _sentinel(settings: RedisSettings) -> Sentinel | None:
    if settings.sentinel is None:
        return None
    limits = {
        "socket_connect_timeout": settings.connect_timeout,
        "socket_timeout": settings.connect_timeout,
        "retry": Retry(NoBackoff(), 0),
        "username": settings.sentinel.username or None,
        "password": settings.sentinel.password or None,
        "ssl": settings.tls is not None,
    }
    nodes = list(settings.sentinel.nodes)
    return Sentinel(nodes, sentinel_kwargs=limits | tls_kwargs(settings))  # type: ignore[no-untyped-call]
