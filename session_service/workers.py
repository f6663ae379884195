"""The processes that serve on one port, as their supervisor sees them.

A worker is a Python process, spawned and not forked, since gRPC's, the native engine's and Redis's objects
must be made after a process starts. It is controlled by signals.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from multiprocessing.connection import Connection

import uvloop
from prometheus_client import CollectorRegistry

from session_service.app import make_metrics
from session_service.config import Config
from session_service.observability.logs import configure_logging
from session_service.serving import serve_by_signals


class Worker:
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
