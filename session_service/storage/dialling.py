"""Opening connections with redis-py, which does what it is good at: TLS, AUTH, HELLO 3, SELECT, SETNAME.

What is added here: greeting has the same time limit as connecting, a replica is refused, and a server
that turns into one is left.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from session_service.storage.faults import DEMOTED_CODES, NOTHING_SENT, fault_code
from session_service.storage.renewing_tls import RenewingTlsConnection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from session_service.storage.settings import Address, RedisSettings, RedisTls

CLIENT_NAME: Final = "session-service"
"""What ``CLIENT LIST`` shows."""


def being_cancelled() -> bool:
    """Whether the current task has been cancelled.

    A loop that calls redis-py must look: redis-py may swallow the cancellation, as ``asyncio.wait_for`` of
    Python 3.11 does when it comes together with the result.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def no_retry() -> Retry:
    """Once only: a command whose answer was lost may have been done (redis-py's default ran INCR twice)."""
    return Retry(NoBackoff(), 0)


class Era:
    """A stretch of time over which connections may be reused; it ends when the primary was lost."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0

    def end(self) -> None:
        """Have every connection opened so far opened anew before its next use."""
        self.number += 1


class _PrimaryConnection(AbstractConnection):
    """Leaves a server that is no longer the primary.

    Args:
        era: shared by the connections to one primary.
    """

    def __init__(self, *, era: Era | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._era = era or Era()
        self._opened_in = self._era.number

    async def connect(self) -> None:
        """Connect, or make sure of it before use; see redis-py."""
        if self._opened_in != self._era.number:
            await self.disconnect(nowait=True)
        self._opened_in = self._era.number
        try:
            await super().connect()  # type: ignore[no-untyped-call]
        except RedisError as error:
            error.add_note(NOTHING_SENT)
            raise

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as in redis-py
        """Read a reply, and end the connection if it says that the primary is elsewhere; see redis-py."""
        try:
            return await super().read_response(*args, **kwargs)
        except ResponseError as error:
            if fault_code(error) in DEMOTED_CODES:
                await self.disconnect(nowait=True)
            raise


class TcpConnection(_PrimaryConnection, Connection):
    """A connection in clear."""


class TlsConnection(_PrimaryConnection, RenewingTlsConnection):
    """A connection over TLS."""


class SocketConnection(_PrimaryConnection, UnixDomainSocketConnection):
    """A connection over a unix socket."""


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
        "retry": no_retry(),
    }


def tls_kwargs(tls: RedisTls) -> dict[str, Any]:
    """The TLS part of a connection's arguments."""
    return {
        "ssl_ca_certs": tls.ca_file or None,
        "ssl_certfile": tls.cert_file or None,
        "ssl_keyfile": tls.key_file or None,
    }


def node_target(settings: RedisSettings, address: Address) -> tuple[type[Connection], dict[str, Any]]:
    """The class and the arguments of a connection to this address."""
    kwargs = connection_kwargs(settings) | {"host": address[0], "port": address[1]}
    if settings.tls is None:
        return TcpConnection, kwargs
    return TlsConnection, kwargs | tls_kwargs(settings.tls) | {"tls_context": settings.tls.context}


async def dial(make: type[AbstractConnection], **kwargs: Any) -> AbstractConnection:
    """Open and greet a connection; ``redis_connect_func`` says how.

    Raises:
        redis.exceptions.RedisError: it cannot be had within ``connect_timeout``.
    """
    connection = make(**kwargs)
    await connection.connect()  # type: ignore[no-untyped-call]
    return connection


async def greet(connection: AbstractConnection) -> None:
    """Authenticate and set up a connection within the time to connect.

    Raises:
        redis.exceptions.RedisError: it is refused or takes too long.
    """
    await _in_time(connection, connection.on_connect)


async def greet_primary(connection: AbstractConnection) -> None:
    """Greet, and refuse a replica and a server that is still loading.

    Raises:
        redis.exceptions.RedisError: it is refused or takes too long.
    """

    async def greet_and_look() -> None:
        await connection.on_connect()
        await _require_primary(connection)

    await _in_time(connection, greet_and_look)


async def _in_time(connection: AbstractConnection, steps: Callable[[], Awaitable[None]]) -> None:
    try:
        async with asyncio.timeout(connection.socket_connect_timeout):
            await steps()
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
