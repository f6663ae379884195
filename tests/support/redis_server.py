"""A real Redis server as a child process, reachable by unix socket and by TCP on loopback."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.ports import LOOPBACK, free_port
from tests.support.tether import Tether
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.redis_binaries import RedisBinary

_START_TIMEOUT = 10.0
_STOP_TIMEOUT = 5.0
_ATTEMPTS = 3


class RedisServer:
    """One redis-server in a directory of its own, ended by process id and never by name.

    Starting waits until the server answers PING. Port, socket and data directory stay the same over
    restarts; nothing is written to disk unless the configuration says so (`{"appendonly": "yes"}`).

    Args:
        binary: The program to run.
        config: Lines of redis.conf by name, such as `{"maxmemory": "2mb"}`; they override the defaults here.
        sentinel: Run as a Sentinel, which watches other servers and holds no keys.
    """

    def __init__(
        self, binary: RedisBinary, config: Mapping[str, str] | None = None, *, sentinel: bool = False
    ) -> None:
        self.binary = binary
        self.port = free_port()
        # Not pytest's tmp_path: a socket's path may have 104 to 108 bytes.
        # A child of the server, saving for a replica, may still write when the server has ended.
        self._directory = tempfile.TemporaryDirectory(prefix="redis-", dir="/tmp", ignore_cleanup_errors=True)
        self.directory = Path(self._directory.name)
        self.socket_path = self.directory / "redis.sock"
        self.config = dict(config or {})
        self._log_path = self.directory / "redis.log"
        self._sentinel = sentinel
        self._process: subprocess.Popen[bytes] | None = None
        self._tether: Tether | None = None

    def __enter__(self) -> Self:
        """Start the server."""
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the server and remove its directory."""
        self.close()

    @property
    def url(self) -> str:
        """The server's address over TCP, as `redis://127.0.0.1:<port>`."""
        return f"redis://{LOOPBACK}:{self.port}"

    @property
    def socket_url(self) -> str:
        """The server's address over its unix socket, as `unix:///<path>`."""
        return f"unix://{self.socket_path}"

    @property
    def running(self) -> bool:
        """Whether the process lives, paused or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id; the server must be running."""
        return self._live_process().pid

    def client(self) -> redis.Redis:
        """Return a new synchronous client that answers in bytes and never retries; close it after use."""
        password = self.config.get("requirepass")
        return redis.Redis(
            unix_socket_path=str(self.socket_path), password=password, retry=Retry(NoBackoff(), 0)
        )

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            RuntimeError: It ended instead; the message has its log.
        """
        for attempt in range(_ATTEMPTS):
            self.launch()
            if eventually(self._settled, timeout=_START_TIMEOUT) == "ready":
                return
            if "Address already in use" not in self.log() or attempt == _ATTEMPTS - 1:
                break
            self.port = free_port()
        message = f"{self.binary.path} ended while starting:\n{self.log()}"
        raise RuntimeError(message)

    def launch(self) -> None:
        """Start the process without waiting until it answers.

        Raises:
            RuntimeError: It is running already.
        """
        if self.running:
            message = "the server is running already"
            raise RuntimeError(message)
        self._release()
        defaults = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "unixsocket": str(self.socket_path),
            "dir": str(self.directory),
            "save": '""',
            "appendonly": "no",
            "daemonize": "no",
        }
        path = self.directory / "redis.conf"
        path.write_text("".join(f"{name} {value}\n" for name, value in (defaults | self.config).items()))
        # A bad configuration is told on stderr, before any log file is opened.
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                self._command(path), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._tether = Tether(self._process.pid)

    def stop(self) -> None:
        """End the server in order (SIGTERM), also when it is paused; does nothing if it is not running."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server at once (SIGKILL), as a crash would; does nothing if it is not running."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop the server and start it on the same addresses; without persistence it is empty then."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the process (SIGSTOP): connections stay open and nothing answers."""
        self._live_process().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen process go on (SIGCONT)."""
        self._live_process().send_signal(signal.SIGCONT)

    def flush(self) -> None:
        """Remove every key and every cached script."""
        with self.client() as client:
            client.flushall()
            client.script_flush()

    def log(self) -> str:
        """Return what the server has written to its log since its last start."""
        return self._log_path.read_text()

    def close(self) -> None:
        """Kill the server and remove its directory."""
        self.kill()
        self._directory.cleanup()

    def _command(self, configuration: Path) -> list[str | Path]:
        return [self.binary.path, configuration, *(["--sentinel"] if self._sentinel else [])]

    def _settled(self) -> str | None:
        if not self.running:
            return "ended"
        with self.client() as client:
            try:
                client.ping()
            except redis.AuthenticationError:
                return "ready"
            except redis.RedisError:
                return None
        return "ready"

    def _live_process(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            message = "the server is not running"
            raise RuntimeError(message)
        return self._process

    def _end(self, how: signal.Signals) -> None:
        if self.running:
            process = self._live_process()
            process.send_signal(how)
            process.send_signal(signal.SIGCONT)
            try:
                process.wait(_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._release()

    def _release(self) -> None:
        if self._tether is not None:
            self._tether.release()
            self._tether = None
