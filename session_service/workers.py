"""The processes that serve on one port, as their supervisor sees them.

A worker is a Python process, spawned and not forked, since gRPC and Redis objects must be
made after a process starts; it is told what to do by signals. A worker on the Envoy engine is an Envoy
with Python inside (``envoy_worker``). Envoy ends at once at SIGTERM, and Python inside it never sees a
signal: so it is told through a connection, whose end also tells it that its supervisor is gone.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, Protocol

import uvloop
from prometheus_client import CollectorRegistry

from session_service import envoy_binary
from session_service.app import make_metrics
from session_service.config import Config
from session_service.observability.logs import configure_logging
from session_service.rpc.engines.envoy_bootstrap import Listener, bootstrap
from session_service.serving import limits, serve_by_signals, tls

CONNECTION_VARIABLE: Final = "SESSION_SERVICE_WORKER_CONNECTION"
APPLICATION: Final = "session_service.envoy_worker:application"

_ENDING_SECONDS: Final = 5.0


class Worker(Protocol):
    """One worker."""

    @property
    def pid(self) -> int:
        """Its process id."""

    @property
    def exit_code(self) -> int | None:
        """What it ended with; ``None`` while it runs."""

    @property
    def ended(self) -> Connection | int:
        """What ``multiprocessing.connection.wait`` finds ready when the worker may have ended."""

    def has_ended(self) -> bool:
        """Whether it has, asked when ``ended`` is ready."""

    def address(self) -> str | None:
        """Wait until it serves; the address, or ``None`` if it ended before."""

    def obey(self, number: int) -> None:
        """Pass a signal on."""

    def join(self, seconds: float) -> None:
        """Wait until it has ended, and kill it after so long."""


class SpawnedWorker:
    """A Python process that serves on the configured engine."""

    def __init__(self, config: Config) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._ready, told = spawn.Pipe(duplex=False)
        self._process = spawn.Process(target=_work, args=(config, told), name="worker")
        # It inherits that SIGHUP waits, until it can answer to it.
        unmasked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        self._process.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, unmasked)
        told.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid or 0

    @property
    def exit_code(self) -> int | None:
        """What it ended with; ``None`` while it runs."""
        return self._process.exitcode

    @property
    def ended(self) -> int:
        """Ready when it has ended."""
        return self._process.sentinel

    def has_ended(self) -> bool:
        """Whether it has."""
        return not self._process.is_alive()

    def address(self) -> str | None:
        """Wait until it serves; its end of the pipe closes if it ends before."""
        with self._ready, contextlib.suppress(EOFError):
            return str(self._ready.recv())
        return None

    def obey(self, number: int) -> None:
        """Pass a signal on; the terminal's Ctrl-C reaches it by itself."""
        if self._process.is_alive():
            os.kill(self.pid, signal.SIGHUP if number == signal.SIGHUP else signal.SIGTERM)

    def join(self, seconds: float) -> None:
        """Wait until it has ended, and kill it after so long."""
        self._process.join(seconds)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _work(config: Config, ready: Connection) -> None:
    """What a spawned worker does: serve on the shared port, and say so through the pipe."""
    configure_logging(config.logging.format, config.logging.level)
    metrics = make_metrics(CollectorRegistry())

    def tell(address: str) -> None:
        # Nobody listens to a worker that takes the place of one that died.
        with contextlib.suppress(BrokenPipeError), ready:
            ready.send(address)

    uvloop.run(serve_by_signals(config, metrics, tell, share_port=True))


@dataclass(frozen=True, slots=True)
class Launch:
    """What a worker inside Envoy is told first.

    Args:
        config: the whole configuration.
        working_directory: which relative paths in it start from.
        admin_socket: where its Envoy's admin interface listens.
    """

    config: Config
    working_directory: Path
    admin_socket: Path


class EnvoyWorker:
    """An Envoy with Python inside.

    Args:
        config: the whole configuration.
        directory: private, for its files; new, and its own: it goes when the worker has ended.
        share_port: let other workers listen on the same port.
        application: what Envoy runs, ``module:name``.
    """

    def __init__(
        self, config: Config, directory: Path, *, share_port: bool, application: str = APPLICATION
    ) -> None:
        directory.mkdir(mode=0o700)
        self._directory = directory
        admin_socket, bootstrap_file = directory / "admin.sock", directory / "envoy.json"
        server, log = config.server, config.logging
        listener = Listener(server.listen, share_port, limits(config), tls(config), server.cors_origins)
        envoy = bootstrap(listener, application, admin_socket, json_log=log.format == "json")
        bootstrap_file.write_text(json.dumps(envoy))
        self._connection, inside = multiprocessing.Pipe()
        with inside:
            self._process = subprocess.Popen(  # noqa: S603 - the installed Envoy
                [
                    str(envoy_binary.path()),
                    *("--config-path", str(bootstrap_file)),
                    # Python is one thread: more of Envoy's would only wait for it.
                    *("--concurrency", "1"),
                    *("--log-level", "warning"),
                    # That it was told to end is no warning.
                    *("--component-log-level", "main:error"),
                    *("--drain-strategy", "immediate"),
                    *("--drain-time-s", f"{round(server.shutdown_grace) + 1}"),
                    "--disable-hot-restart",
                ],
                env=_environment(inside.fileno()),
                # pyvoy puts the working directory first on Python's path; this one holds no module.
                cwd=directory,
                stdin=subprocess.DEVNULL,
                pass_fds=[inside.fileno()],
                # The terminal's Ctrl-C must not reach it: it would end at once.
                start_new_session=True,
            )
            self._connection.send(Launch(config, Path.cwd(), admin_socket))

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """What it ended with; ``None`` while it runs."""
        return self._process.poll()

    @property
    def ended(self) -> Connection:
        """Its connection, which comes to its end with it."""
        return self._connection

    def has_ended(self) -> bool:
        """Whether it has; takes the address of one that took the place of another."""
        try:
            while self._connection.poll():
                self._connection.recv()
        except (EOFError, OSError):
            self._end_within(_ENDING_SECONDS)
        return self._process.poll() is not None

    def address(self) -> str | None:
        """Wait until it serves; its end of the connection closes if it ends before."""
        with contextlib.suppress(EOFError, OSError):
            return str(self._connection.recv())
        return None

    def obey(self, number: int) -> None:
        """Pass a signal on, as its number."""
        with contextlib.suppress(OSError):
            self._connection.send(number)

    def join(self, seconds: float) -> None:
        """Wait until it has ended, and kill it after so long."""
        self._end_within(seconds)
        self._connection.close()

    def end(self) -> None:
        """End it at once, whatever is in flight."""
        self._process.terminate()
        self.join(_ENDING_SECONDS)

    def _end_within(self, seconds: float) -> None:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)


def _environment(connection: int) -> Mapping[str, str]:
    return {**os.environ, **envoy_binary.environment(), CONNECTION_VARIABLE: str(connection)}
