"""Runs one serving process, or several on one port.

One worker is this process itself. Otherwise this is the supervisor of ``workers``: it
speaks neither gRPC nor Redis, restarts a worker that dies, passes SIGHUP on, and at SIGTERM lets each
drain.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path

import uvloop
from prometheus_client import CollectorRegistry

from session_service import stopping
from session_service.app import make_metrics
from session_service.config import Config, ConfigError
from session_service.config.sections import Engine
from session_service.engines.native import availability
from session_service.listen_address import free_address, listening
from session_service.observability.exposition import (
    MetricsServer,
    forget_worker,
    share_metrics,
    shared_registry,
)
from session_service.opening import certificate_watch
from session_service.orders import terminal_gone
from session_service.serving import key_file, serve_by_signals
from session_service.tokens.keys import load_key_ring
from session_service.workers import Worker

_RESTART_SECONDS = 1.0
_KILL_AFTER_SECONDS = 10.0

log = logging.getLogger(__name__)
Ready = Callable[[str], None]


class WorkerFailedError(Exception):
    """A worker ended before it was ready; its own log says why."""


def run(config: Config, on_ready: Callable[[str, str | None], None]) -> None:
    """Serve with as many workers as configured, until SIGTERM or SIGINT.

    Args:
        config: complete, as ``missing_to_serve`` says.
        on_ready: called once, when every worker serves, with the addresses of gRPC and of plain HTTP, which
            may be the same; ``None`` = there is no plain HTTP.

    Raises:
        KeyRingError: the key file is not usable.
        CertificateError: the certificates of ``server.tls`` are not usable.
        ConfigError: the engine cannot run here.
        OSError: the address cannot be listened on.
        WorkerFailedError: one of several workers did not start.
    """
    # Each worker reads them again; what is wrong with them is logged once.
    load_key_ring(key_file(config))
    certificate_watch(config)
    engine = engine_of(config)
    config = _serving_with(config, engine)

    def tell(address: str) -> None:
        http_address = config.server.http_listen if engine is Engine.GRPC_AIO else address
        on_ready(address, http_address)
        log.info("ready", extra={"address": address, "http_address": http_address, "engine": engine.value})

    if config.server.workers == 1:
        registry = CollectorRegistry()
        with _metrics_endpoint(config, registry):
            uvloop.run(serve_by_signals(config, make_metrics(registry), tell))
        return
    with tempfile.TemporaryDirectory(prefix="session-service-") as name:
        directory = Path(name)
        share_metrics(directory)
        with _metrics_endpoint(config, shared_registry(directory)):
            _Supervisor(config, partial(Worker, config), partial(forget_worker, directory)).run(tell)


def engine_of(config: Config) -> Engine:
    """The engine to serve with: the one configured, or the native one where it can run.

    Raises:
        ConfigError: an engine is asked for that cannot run here.
    """
    asked = config.server.engine
    if asked is Engine.GRPC_AIO:
        return asked
    problem = availability.unavailable()
    if not problem:
        return Engine.NATIVE
    if asked is Engine.NATIVE:
        raise ConfigError(f"server.engine: {asked.value} cannot run here: {problem}")
    log.info("serving with grpc.aio", extra={"reason": problem})
    return Engine.GRPC_AIO


class _Supervisor:
    """Keeps the workers running until it is told to stop.

    Args:
        config: with the address that all listen on.
        start: starts a worker.
        forget: told of the id of a worker that has ended.
    """

    def __init__(self, config: Config, start: Callable[[], Worker], forget: Callable[[int], None]) -> None:
        self._config = config
        self._start_worker = start
        self._forget_worker = forget
        self._workers: list[Worker] = []
        self._stopping = False
        self._on_terminal = sys.stderr.isatty()
        self._wake_reader, self._wake_writer = os.pipe()

    def run(self, on_ready: Ready) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._pass_on)
        if stopping.was_asked_for():
            return
        try:
            started = [self._start() for _ in range(self._config.server.workers)]
            addresses = [worker.address() for worker in started]
            if not self._stopping:
                if None in addresses:
                    raise WorkerFailedError("a worker ended before it was ready")
                on_ready(str(addresses[0]))
            while not self._stopping:
                self._replace_dead()
        finally:
            self._stop()

    def _start(self) -> Worker:
        worker = self._start_worker()
        self._workers.append(worker)
        return worker

    def _replace_dead(self) -> None:
        """Sleep until a worker ends or a signal comes; start another for each that ended."""
        wait([*(worker.ended for worker in self._workers), self._wake_reader])
        for worker in [each for each in self._workers if each.has_ended()]:
            if self._stopping:
                return
            log.error("worker ended", extra={"pid": worker.pid, "exit_code": worker.exit_code})
            self._workers.remove(worker)
            self._forget_worker(worker.pid)
            wait([self._wake_reader], _RESTART_SECONDS)
            if not self._stopping:
                self._start()

    def _pass_on(self, number: int, _frame: object) -> None:
        """Pass a signal on to every worker; all but a SIGHUP for the keys also end this process."""
        if number == signal.SIGHUP and terminal_gone(self._on_terminal):
            number = signal.SIGTERM
        if number != signal.SIGHUP:
            self._stopping = True
            os.write(self._wake_writer, b"x")
        for worker in self._workers:
            worker.obey(number)

    def _stop(self) -> None:
        """End every worker: each drains within its grace, and is killed a while after that."""
        self._pass_on(signal.SIGTERM, None)
        section = self._config.server
        deadline = time.monotonic() + section.drain_delay + section.shutdown_grace + _KILL_AFTER_SECONDS
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))


@contextlib.contextmanager
def _metrics_endpoint(config: Config, registry: CollectorRegistry) -> Iterator[None]:
    if config.metrics.listen is None:
        yield
        return
    address = config.metrics.listen
    try:
        sockets, _ = listening(str(address), share_port=False)
    except OSError as error:
        raise OSError(f"metrics.listen: {error}") from error
    endpoint = MetricsServer(registry, sockets)
    try:
        yield
    finally:
        endpoint.close()


def _serving_with(config: Config, engine: Engine) -> Config:
    """The configuration with this engine, and with addresses that were found free, ports and all.

    Raises:
        OSError: one cannot be listened on; the text names it and says why.
    """
    server = config.server
    found: dict[str, object] = {"engine": engine, "listen": free_address(server.listen)}
    if engine is Engine.GRPC_AIO and server.http_listen is not None:
        try:
            found["http_listen"] = free_address(server.http_listen)
        except OSError as error:
            raise OSError(f"server.http_listen: {error}") from error
    return config.model_copy(update={"server": server.model_copy(update=found)})
