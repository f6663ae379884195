"""RedisServer: a real server per test, to be used and broken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis

from tests.support import RedisServer, eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support import RedisBinary


def test_answers_on_both_addresses(redis_server: RedisServer) -> None:
    """A started server answers over TCP and over its unix socket."""
    for url in (redis_server.url, redis_server.socket_url):
        with redis.Redis.from_url(url) as client:
            assert client.ping()


def test_shared_server_is_empty_for_the_first_test(redis_server: RedisServer) -> None:
    """A test may leave keys behind."""
    with redis_server.client() as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_shared_server_is_empty_for_the_next_test(redis_server: RedisServer) -> None:
    """The test after it finds none of them."""
    with redis_server.client() as client:
        assert client.dbsize() == 0


def test_configuration_is_taken(start_redis: Callable[..., RedisServer]) -> None:
    """Lines of redis.conf reach the server."""
    server = start_redis({"maxmemory": "7mb", "requirepass": "open-sesame"})
    with server.client() as client:
        assert client.config_get("maxmemory") == {"maxmemory": str(7 * 1024 * 1024)}
    with redis.Redis.from_url(server.url) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_a_paused_server_answers_nothing_and_goes_on(start_redis: Callable[..., RedisServer]) -> None:
    """SIGSTOP leaves the connection open without an answer; SIGCONT brings the answers back."""
    server = start_redis()
    with redis.Redis.from_url(server.url, socket_timeout=0.1, retry=None) as client:
        client.ping()
        server.pause()
        with pytest.raises(redis.TimeoutError):
            client.ping()
        server.resume()
        assert client.ping()


def test_restart_without_persistence_is_empty(start_redis: Callable[..., RedisServer]) -> None:
    """A restarted server has the same address, another process, and no keys."""
    server = start_redis()
    with server.client() as client:
        client.set("key", "value")
    before = server.pid, server.url
    server.restart()
    assert server.pid != before[0]
    assert server.url == before[1]
    with server.client() as client:
        assert client.get("key") is None


def test_a_crash_with_aof_keeps_what_was_acknowledged(start_redis: Callable[..., RedisServer]) -> None:
    """With appendfsync always, a key survives SIGKILL."""
    server = start_redis({"appendonly": "yes", "appendfsync": "always"})
    with server.client() as client:
        client.set("key", "value")
    server.kill()
    assert not server.running
    server.start()
    with server.client() as client:
        assert client.get("key") == b"value"


def test_stopping_a_paused_server_ends_it(start_redis: Callable[..., RedisServer]) -> None:
    """A frozen process is no obstacle to an orderly end, and stopping twice is harmless."""
    server = start_redis()
    server.pause()
    server.stop()
    server.stop()
    assert not server.running
    assert "bye bye" in server.log()


def test_a_server_that_cannot_start_says_why(redis_binary: RedisBinary) -> None:
    """The error carries the server's own log."""
    server = RedisServer(redis_binary, {"appendonly": "perhaps"})
    with pytest.raises(RuntimeError, match="perhaps"):
        server.start()
    server.close()


def test_close_leaves_nothing_behind(redis_binary: RedisBinary) -> None:
    """After the with block neither the process nor its directory is there."""
    with RedisServer(redis_binary) as server:
        assert server.directory.is_dir()
    assert not server.running
    eventually(lambda: not server.directory.exists())
