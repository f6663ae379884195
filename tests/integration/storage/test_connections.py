"""RedisConnections: every way to reach one Redis, and changes that are made once or not at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
import redis

from session_service.domain.errors import StoreUnavailable
from session_service.storage import faults
from session_service.storage.connections import RedisConnections
from session_service.storage.faults import store_faults
from session_service.storage.settings import RedisSettings
from tests.integration.storage.answers import is_away, is_refused, works
from tests.integration.storage.conftest import Connect
from tests.support import LOOPBACK, RedisServer, eventually_async, free_port
from tests.support.proxy import TcpProxy

AT = RedisSettings(host=LOOPBACK, connect_timeout=2.0)
"""Patient enough for a busy machine."""

PASSWORD = "correct horse/battery@staple"
INCREMENT = "return redis.call('INCR', KEYS[1])"


@pytest.mark.parametrize(
    "where",
    [
        lambda server: replace(AT, port=server.port),
        lambda server: replace(AT, unix_socket_path=str(server.socket_path)),
        lambda server: replace(AT, url=server.url),
        lambda server: replace(AT, url=server.socket_url),
    ],
    ids=["host-port", "socket", "url", "socket-url"],
)
async def test_ways_to_reach_redis(
    redis_server: RedisServer, connect: Connect, where: Callable[[RedisServer], RedisSettings]
) -> None:
    """TCP and unix socket, by fields and by URL."""
    assert await works(await connect(where(redis_server)))


@pytest.mark.parametrize(
    "where",
    [
        lambda server: replace(AT, port=server.port, db=5),
        lambda server: replace(AT, url=f"{server.url}/5"),
        lambda server: replace(AT, url=f"{server.socket_url}?db=5"),
    ],
    ids=["field", "url", "socket-url"],
)
async def test_the_database_is_selected(
    redis_server: RedisServer, connect: Connect, where: Callable[[RedisServer], RedisSettings]
) -> None:
    """Changes and reads go to the database of the settings."""
    assert await works(await connect(where(redis_server)))
    with redis.Redis(unix_socket_path=str(redis_server.socket_path), db=5) as client:
        assert client.get("key") == b"value"


async def test_connections_have_a_name(start_redis: Callable[..., RedisServer], connect: Connect) -> None:
    """An operator finds the service in CLIENT LIST."""
    redis_server = start_redis()
    await works(await connect(replace(AT, port=redis_server.port)))
    with redis_server.client() as client:
        assert _named(client) == 3


def _named(client: redis.Redis) -> int:
    """How many connections have the service's name."""
    return [each["name"] for each in client.client_list()].count("session-service")


async def test_every_primary_can_be_scanned(redis_server: RedisServer, connect: Connect) -> None:
    """``primaries`` gives the one there is."""
    connections = await connect(replace(AT, port=redis_server.port))
    assert [await primary.dbsize() async for primary in connections.primaries()] == [0]


class TestCredentials:
    """ACL users and passwords."""

    @pytest.fixture
    def server(self, start_redis: Callable[..., RedisServer]) -> RedisServer:
        """A server that asks for a password, and has a user besides."""
        server = start_redis({"requirepass": f'"{PASSWORD}"'})
        with redis.Redis(unix_socket_path=str(server.socket_path), password=PASSWORD) as client:
            rights = ["~*", "+@all", "-@dangerous", "+client|setname", "+client|tracking", "+client|caching"]
            client.execute_command("ACL", "SETUSER", "sessions", "on", f">{PASSWORD}!", *rights)
        return server

    async def test_a_password(self, server: RedisServer, connect: Connect) -> None:
        """The default user's password opens Redis."""
        assert await works(await connect(replace(AT, port=server.port, password=PASSWORD)))

    async def test_an_acl_user_without_dangerous_rights(self, server: RedisServer, connect: Connect) -> None:
        """An ACL user needs no dangerous command (of which Redis 6.2 counts all of CLIENT as one)."""
        user = replace(AT, port=server.port, username="sessions", password=f"{PASSWORD}!")
        assert await works(await connect(user))

    async def test_credentials_in_the_url(self, server: RedisServer, connect: Connect) -> None:
        """User and password may stand in the URL, percent-encoded."""
        url = f"redis://sessions:correct%20horse%2Fbattery%40staple%21@{LOOPBACK}:{server.port}"
        assert await works(await connect(replace(AT, url=url)))

    @pytest.mark.parametrize("password", ["", "wrong-and-secret"])
    async def test_a_wrong_password_is_unavailable_and_never_printed(
        self, server: RedisServer, connect: Connect, caplog: pytest.LogCaptureFixture, password: str
    ) -> None:
        """Callers see UNAVAILABLE, the operator an error in the log, nobody the password."""
        faults._last_logged.clear()
        settings = replace(AT, port=server.port, password=password)
        connections = await connect(settings)
        assert await is_refused(connections)
        assert any(record.levelname == "ERROR" for record in caplog.records)
        assert "wrong-and-secret" not in caplog.text + repr(settings)

    async def test_a_changed_password_cuts_reads_off(self, server: RedisServer, connect: Connect) -> None:
        """When the user is disabled, the open read channel ends too."""
        user = replace(AT, port=server.port, username="sessions", password=f"{PASSWORD}!")
        connections = await connect(user)
        assert await works(connections)
        with redis.Redis(unix_socket_path=str(server.socket_path), password=PASSWORD) as client:
            client.execute_command("ACL", "SETUSER", "sessions", "off")
            client.execute_command("CLIENT", "KILL", "USER", "sessions")
        await eventually_async(lambda: is_away(connections))


class TestChanges:
    """The client for changes: made once or not at all, in bounded time."""

    @pytest.fixture
    async def proxy(self, redis_server: RedisServer) -> AsyncIterator[TcpProxy]:
        """A proxy before the shared server."""
        async with TcpProxy(redis_server.port) as proxy:
            yield proxy

    @pytest.fixture
    def settings(self, proxy: TcpProxy) -> RedisSettings:
        """By way of the proxy."""
        return replace(AT, port=proxy.port, command_timeout=0.3, max_connections=2)

    @pytest.mark.parametrize("command", [("INCR", "count"), ("EVAL", INCREMENT, 1, "count")])
    @pytest.mark.parametrize("lost", ["timeout", "connection"])
    async def test_a_change_whose_reply_is_lost_ran_once(
        self,
        redis_server: RedisServer,
        proxy: TcpProxy,
        connect: Connect,
        *,
        lost: str,
        command: tuple[str | int, ...],
    ) -> None:
        """A change that Redis made and whose reply never came is not sent again."""
        connections = await connect(replace(AT, port=proxy.port, command_timeout=0.3))
        await connections.client.ping()
        proxy.swallow_replies = True
        change = asyncio.create_task(_execute(connections, *command))
        with redis_server.client() as client:
            await eventually_async(lambda: b":1\r\n" in proxy.swallowed)
            # From here on a second try would come through.
            proxy.swallow_replies = False
            if lost == "connection":
                proxy.cut()
            with pytest.raises(StoreUnavailable):
                await change
            await eventually_async(connections.ping)
            await connections.client.ping()
            assert client.get("count") == b"1"

    async def test_a_burst_waits_for_a_free_connection(
        self, redis_server: RedisServer, settings: RedisSettings, connect: Connect
    ) -> None:
        """Many more changes at once than connections are all made, over no more connections than allowed."""
        with redis_server.client() as client:
            # A service of other tests may be there.
            before = _named(client)
            connections = await connect(settings)
            await asyncio.gather(*(_execute(connections, "INCR", "count") for _ in range(100)))
            assert client.get("count") == b"100"
            assert _named(client) - before == 2 + settings.max_connections

    async def test_a_queue_that_does_not_move_is_unavailable(
        self, settings: RedisSettings, connect: Connect
    ) -> None:
        """With every connection held, a change waits about as long as for connecting, then fails."""
        connections = await connect(replace(settings, connect_timeout=0.25, command_timeout=2.0))
        holders = [asyncio.create_task(_execute(connections, "BLPOP", "nothing", 1)) for _ in range(2)]
        await asyncio.wait(holders, timeout=0.1)
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await _execute(connections, "PING")
        assert 0.2 < time.monotonic() - started < 0.7
        await asyncio.gather(*holders)
        await _execute(connections, "PING")

    async def test_a_refused_connection_fails_fast(self, connect: Connect) -> None:
        """Without a server a change fails at once: no retries, no back-off."""
        connections = await connect(RedisSettings(host=LOOPBACK, port=free_port()))
        started = time.monotonic()
        for _ in range(10):
            with pytest.raises(StoreUnavailable):
                await _execute(connections, "PING")
        assert time.monotonic() - started < 1.0

    async def test_a_server_that_accepts_and_is_silent_fails_in_time(self, connect: Connect) -> None:
        """Greeting is part of connecting: a port that accepts and says nothing costs ``connect_timeout``."""
        accepted: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(lambda _, writer: accepted.append(writer), LOOPBACK, 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            connections = await connect(RedisSettings(host=LOOPBACK, port=port))
            started = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await _execute(connections, "PING")
            assert time.monotonic() - started < 0.6
            await connections.close()
            for writer in accepted:
                writer.transport.abort()

    async def test_idle_connections_are_renewed_with_the_channel(
        self, proxy: TcpProxy, settings: RedisSettings, connect: Connect
    ) -> None:
        """After Redis closed its connections the next change opens a new one instead of failing."""
        connections = await connect(settings)
        await _execute(connections, "PING")
        proxy.cut()
        assert not await connections.ping()
        await eventually_async(connections.ping)
        for _ in range(20):
            await _execute(connections, "PING")


async def _execute(connections: RedisConnections, *command: str | int) -> Any:
    run: Callable[..., Awaitable[Any]] = connections.client.execute_command
    with store_faults():
        return await run(*command)
