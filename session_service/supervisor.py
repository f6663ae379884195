"""Runs one serving process, or several on one port.

Workers are spawned, not forked: gRPC and Redis objects are made after a process starts. The
supervisor itself speaks neither; it restarts a worker that dies, passes SIGHUP on, and at
SIGTERM lets each drain.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

import uvloop
from prometheus_client import CollectorRegistry

from session_service.app import make_metrics
from session_service.config import Config
from session_service.listen_address import free_address
from session_service.observability.exposition import (
    MetricsServer,
    forget_worker,
    share_metrics,
    shared_registry,
)
from session_service.observability.logs import configure_logging
from session_service.serving import key_file, serve, terminal_gone
from session_service.tokens.keys import load_key_ring

_RESTART_SECONDS = 1.0
_KILL_AFTER_SECONDS = 10.0

log = logging.getLogger(__name__)
Ready = Callable[[str], None]


class WorkerFailedError(Exception):
    """A worker ended before it was ready; its own log says why."""


def run(config: Config, on_ready: Ready) -> None:
    """Serve with as many workers as configured, until SIGTERM or SIGINT.

    Args:
        config: complete, as ``missing_to_serve`` says.
        on_ready: called once with the address, when every worker serves.

    Raises:
        KeyRingError: the key file is not usable.
        OSError: the address cannot be listened on.
        WorkerFailedError: one of several workers did not start.
    """

    def tell(address: str) -> None:
        on_ready(address)
        log.info("ready", extra={"address": address})

    # Each worker reads it again; what is wrong with it is told once.
    load_key_ring(key_file(config))
    config = _listening_on(config, free_address(config.server.listen))
    if config.server.workers == 1:
        registry = CollectorRegistry()
        with _metrics_endpoint(config, registry):
            uvloop.run(serve(config, make_metrics(registry), tell))
        return
    with tempfile.TemporaryDirectory(prefix="session-service-") as name:
        directory = Path(name)
        share_metrics(directory)
        with _metrics_endpoint(config, shared_registry(directory)):
            _Supervisor(config, directory).run(tell)


def work(config: Config, ready: Connection) -> None:
    """What a worker process does: serve on the shared port, and say so through the pipe."""
    configure_logging(config.logging.format, config.logging.level)
    metrics = make_metrics(CollectorRegistry())

    def tell(address: str) -> None:
        # Nobody listens to a worker that takes the place of one that died.
        with contextlib.suppress(BrokenPipeError), ready:
            ready.send(address)

    uvloop.run(serve(config, metrics, tell, share_port=True))


class _Supervisor:
    """Keeps the workers running until it is told to stop."""

    def __init__(self, config: Config, directory: Path) -> None:
        self._config = config
        self._directory = directory
        self._workers: list[SpawnProcess] = []
        self._stopping = False
        self._on_terminal = sys.stderr.isatty()
        self._wake_reader, self._wake_writer = os.pipe()

    def run(self, on_ready: Ready) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._pass_on)
        try:
            started = [self._start() for _ in range(self._config.server.workers)]
            addresses = [self._address(ready) for ready in started]
            if not self._stopping:
                on_ready(addresses[0])
            while not self._stopping:
                self._replace_dead()
        finally:
            self._stop()

    def _start(self) -> Connection:
        spawn = multiprocessing.get_context("spawn")
        ready, told = spawn.Pipe(duplex=False)
        worker = spawn.Process(target=work, args=(self._config, told), name="worker")
        # It inherits that SIGHUP waits, until it can answer to it.
        unmasked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        worker.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, unmasked)
        told.close()
        self._workers.append(worker)
        return ready

    def _address(self, ready: Connection) -> str:
        """Wait until the worker serves; its end of the pipe closes if it dies before."""
        with ready:
            try:
                return str(ready.recv())
            except EOFError:
                if self._stopping:
                    return ""
                raise WorkerFailedError("a worker ended before it was ready") from None

    def _replace_dead(self) -> None:
        """Sleep until a worker ends or a signal comes; start another for each that ended."""
        wait([*(worker.sentinel for worker in self._workers), self._wake_reader])
        for worker in [each for each in self._workers if not each.is_alive()]:
            if self._stopping:
                return
            log.error("worker ended", extra={"pid": worker.pid, "exit_code": worker.exitcode})
            self._forget(worker)
            wait([self._wake_reader], _RESTART_SECONDS)
            if not self._stopping:
                self._start().close()

    def _forget(self, worker: SpawnProcess) -> None:
        self._workers.remove(worker)
        if worker.pid:
            forget_worker(self._directory, worker.pid)

    def _pass_on(self, number: int, _frame: object) -> None:
        """Pass a signal on to every worker; all but a SIGHUP for the keys also end this process."""
        if number != signal.SIGHUP or terminal_gone(self._on_terminal):
            self._stopping = True
            os.write(self._wake_writer, b"x")
            number = signal.SIGTERM
        for worker in self._workers:
            if worker.pid and worker.is_alive():
                os.kill(worker.pid, number)

    def _stop(self) -> None:
        """End every worker: each drains within its grace, and is killed a while after that."""
        self._pass_on(signal.SIGTERM, None)
        section = self._config.server
        deadline = time.monotonic() + section.drain_delay + section.shutdown_grace + _KILL_AFTER_SECONDS
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))
            if worker.is_alive():
                worker.kill()
                worker.join()


@contextlib.contextmanager
def _metrics_endpoint(config: Config, registry: CollectorRegistry) -> Iterator[None]:
    if config.metrics.listen is None:
        yield
        return
    address = config.metrics.listen
    try:
        endpoint = MetricsServer(registry, address.host, address.port)
    except OSError as error:
        raise OSError(f"metrics.listen: cannot listen on {address}: {error.strerror}") from error
    try:
        yield
    finally:
        endpoint.close()


def _listening_on(config: Config, address: str) -> Config:
    return config.model_copy(update={"server": config.server.model_copy(update={"listen": address})})
