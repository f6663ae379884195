"""One serving process, from its start to its drained stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import multiprocessing
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import grpc

from session_service import stopping
from session_service.app import Backend, Service
from session_service.config import Config
from session_service.config.sections import Engine
from session_service.domain.errors import StoreUnavailable
from session_service.engines import grpc_aio
from session_service.engines.http_server import HttpServer, bind
from session_service.engines.native.opening import open_server as open_native
from session_service.engines.side_by_side import SideBySide
from session_service.observability.metrics import Metrics
from session_service.rpc.draining import Drain
from session_service.rpc.health import Health
from session_service.rpc.http.app import HttpApp
from session_service.rpc.http.cors import Cors
from session_service.rpc.limits import Limits, ServerTls
from session_service.rpc.mount import mount
from session_service.rpc.traffic import Traffic
from session_service.tokens.keys import KeyRingError, load_key_ring

_HEALTH_SECONDS = 1.0
_METRICS_SECONDS = 1.0
_GC_THRESHOLDS = (10_000, 20, 50)

log = logging.getLogger(__name__)


class Server(Protocol):
    """A server of either engine, methods registered or not."""

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Take handlers that look methods up by name."""

    async def start(self) -> None:
        """Serve; returns when it does."""

    async def stop(self, grace: float | None) -> None:
        """Take no new calls, finish those in flight within the grace, in seconds, and end."""


@runtime_checkable
class Counting(Protocol):
    """A server that counts what never becomes a call."""

    def counts(self) -> Mapping[str, int]:
        """What is open now and what happened so far, by name; see ``EngineMetrics``."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A server that has its address and does not serve yet.

    Args:
        server: the server.
        address: where it will carry gRPC.
        http_address: where it will carry plain HTTP; ``None`` = nowhere.
    """

    server: Server
    address: str
    http_address: str | None


OpenServer = Callable[[Config, HttpApp], Opened]
"""Makes a server that carries plain HTTP to the app."""


class Orders:
    """What is wanted of this process from outside, as signals or as their numbers."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self._running: Running | None = None
        self._keys_changed = False
        self._orphaned = False

    def obey(self, number: int) -> None:
        """Do as a signal says.

        SIGHUP: read the keys again. SIGINT once more while stopping: somebody stands at the terminal
        and waits, so cut the drain short. Anything else, or SIGINT the first time: stop.
        """
        if number == signal.SIGHUP:
            self._keys_changed = True
        elif number == signal.SIGINT and self.stopping.is_set() and self._running:
            self._running.drain.hurry()
        else:
            self.stopping.set()
        self._catch_up()

    def lose_supervisor(self) -> None:
        """Stop, and leave the port soon: another supervisor may be about to start."""
        self._orphaned = True
        self.stopping.set()
        self._catch_up()

    def apply_to(self, running: Running) -> None:
        """From here on orders are carried out on this server, and what came before is."""
        self._running = running
        self._catch_up()

    def _catch_up(self) -> None:
        if self._running is None:
            return
        if self._orphaned:
            self._running.drain.soon()
        if self._keys_changed:
            self._keys_changed = False
            self._running.reload_keys()


async def serve(
    config: Config,
    metrics: Metrics,
    orders: Orders,
    on_ready: Callable[[str], None],
    open_server: OpenServer,
) -> None:
    """Serve until ordered to stop, then drain.

    Args:
        config: complete, as ``missing_to_serve`` says.
        metrics: what to count into.
        orders: what is wanted from outside.
        on_ready: called with the address once it is served and health has been looked at.
        open_server: makes the server.

    Raises:
        KeyRingError: the key file is not usable.
        OSError: the address cannot be listened on.
    """
    async with running(config, metrics, open_server) as server:
        orders.apply_to(server)
        _collect_seldom()
        on_ready(server.address)
        await orders.stopping.wait()


def _collect_seldom() -> None:
    """Have the garbage collector look at fewer objects, and less often.

    What is there when a process begins to serve stays. And some sixty calls under way hold more young
    objects than the 700 at which collections begin by default: a twentieth of a check went into looking
    at them again and again, and found nothing, as calls leave no cycles behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


async def serve_by_signals(
    config: Config, metrics: Metrics, on_ready: Callable[[str], None], *, share_port: bool = False
) -> None:
    """Serve, ordered by signals, and until the supervisor is gone; as ``serve``.

    Args:
        config: likewise.
        metrics: likewise.
        on_ready: likewise.
        share_port: let other workers listen on the same port.
    """
    orders = Orders()
    _follow_signals(orders)
    await serve(config, metrics, orders, on_ready, partial(open_configured, share_port=share_port))


def open_configured(config: Config, http: HttpApp, *, share_port: bool = False) -> Opened:
    """A server of the configured engine that is bound to its address; ``grpc.aio`` where it says ``auto``.

    Raises:
        OSError: the address cannot be listened on.
    """
    if config.server.engine is Engine.NATIVE:
        listen = config.server.listen
        server, address = open_native(listen, limits(config), tls(config), http, share_port=share_port)
        return Opened(server, address, address)
    return open_grpc_aio(config, http, share_port=share_port)


def open_grpc_aio(config: Config, http: HttpApp, *, share_port: bool = False) -> Opened:
    """A server of ``grpc.aio`` that is bound to its address, with one of plain HTTP if one is configured.

    Raises:
        OSError: the address cannot be listened on.
    """
    server = grpc_aio.make_server(limits(config), share_port=share_port)
    listen = config.server.listen
    port = grpc_aio.listen(server, listen, tls(config))
    address = listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{port}"
    if config.server.http_listen is None:
        return Opened(server, address, None)
    sockets, http_address = bind(config.server.http_listen, share_port=share_port)
    web = HttpServer(http, limits(config), sockets, tls(config))
    return Opened(SideBySide(server, web), address, http_address)


def terminal_gone(on_terminal: bool) -> bool:
    """Whether SIGHUP came because the terminal was closed, and not to have the keys read again.

    Args:
        on_terminal: whether the process was started on one.
    """
    return on_terminal and not sys.stderr.isatty()


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers calls."""

    address: str
    http_address: str | None
    config: Config
    service: Service
    drain: Drain

    def reload_keys(self) -> None:
        """Use the keys as the file has them now, or as they were if it cannot be used."""
        try:
            self.service.replace_ring(load_key_ring(key_file(self.config)))
        except (KeyRingError, OSError) as error:
            log.error("keys kept as they were", extra={"problem": str(error)})  # noqa: TRY400 - no trace
        else:
            log.info("keys read again")


@contextlib.asynccontextmanager
async def running(
    config: Config, metrics: Metrics, open_server: OpenServer = open_configured
) -> AsyncIterator[Running]:
    """Serve around a block; drain after it. As ``serve``, without orders."""
    ring = load_key_ring(key_file(config))
    async with Backend(config, metrics) as backend:
        service = Service(backend, ring)
        section, traffic = config.server, Traffic(metrics.calls)
        http = HttpApp(limits(config), _cors(config), lambda: service.health.serving)
        opened = open_server(config, http)
        server, address = opened.server, opened.address
        mount((server, http), service.servicers, traffic, limits(config), reflection=section.reflection)
        async with _background(backend, service.health, server):
            await server.start()
            log.info("serving", extra={"address": address, "http_address": opened.http_address})
            drain = Drain(server, service.health, traffic)
            try:
                yield Running(address, opened.http_address, config, service, drain)
            finally:
                await drain.run(section.drain_delay, section.shutdown_grace)


@contextlib.asynccontextmanager
async def _background(backend: Backend, health: Health, server: Server) -> AsyncIterator[None]:
    """Run what goes on beside the calls; health has been looked at once before it yields."""
    counting = server if isinstance(server, Counting) else None
    await _look(backend, health)
    tasks = [
        asyncio.create_task(_follow_store(backend, health), name="health"),
        asyncio.create_task(_sweep(backend), name="sweep"),
        asyncio.create_task(_show_metrics(backend.metrics, counting), name="metrics"),
    ]
    try:
        yield
    finally:
        await _end(tasks)
        backend.metrics.tallies.flush()


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel until each has ended.

    Before Python 3.12 ``wait_for``, through which redis-py sends, can swallow a cancellation that
    comes in the moment it finishes (python/cpython#86296).
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.1)


async def _follow_store(backend: Backend, health: Health) -> None:
    while True:
        await asyncio.sleep(_HEALTH_SECONDS)
        try:
            await _look(backend, health)
        except Exception:
            # No reason to leave health as it was for good.
            log.exception("health cannot be looked at")


async def _show_metrics(metrics: Metrics, counting: Counting | None) -> None:
    """Let others see what was counted: with several workers their supervisor reads files."""
    while True:
        await asyncio.sleep(_METRICS_SECONDS)
        if counting is not None:
            metrics.engine.counted(counting.counts())
        metrics.tallies.flush()


async def _look(backend: Backend, health: Health) -> None:
    healthy = await backend.connections.ping()
    backend.metrics.store_up.set(healthy)
    backend.metrics.watched.set(backend.connections.tracking.count)
    if await health.follow(healthy):
        log.log(logging.INFO if healthy else logging.ERROR, "store", extra={"answers": healthy})


async def _sweep(backend: Backend) -> None:
    while True:
        try:
            backend.metrics.sweeps.counted(await backend.sweep_if_due())
        except StoreUnavailable:
            log.warning("sweep put off: the store does not answer")
        except Exception:
            # A key of ours that holds something else, say: no reason never to sweep again.
            log.exception("sweep failed")
        await asyncio.sleep(backend.config.sweep.interval)


def _follow_signals(orders: Orders) -> None:
    """Take orders by SIGTERM, SIGINT and SIGHUP, and stop when the supervisor is gone."""
    loop = asyncio.get_running_loop()
    on_terminal = sys.stderr.isatty()

    def hang_up() -> None:
        orders.obey(signal.SIGTERM if terminal_gone(on_terminal) else signal.SIGHUP)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, orders.obey, number)
    loop.add_signal_handler(signal.SIGHUP, hang_up)
    # Held back while a worker starts, where it would have ended it.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    if stopping.was_asked_for():
        orders.obey(signal.SIGTERM)
    if parent := multiprocessing.parent_process():
        loop.add_reader(parent.sentinel, _orphaned, loop, parent.sentinel, orders)


def _orphaned(loop: asyncio.AbstractEventLoop, sentinel: int, orders: Orders) -> None:
    """Stop, and look no more: what is closed stays readable, and would keep the loop awake."""
    loop.remove_reader(sentinel)
    orders.lose_supervisor()


def tls(config: Config) -> ServerTls | None:
    """What the engine needs to know of the section ``server.tls``."""
    section = config.server.tls
    if section is None:
        return None
    return ServerTls(
        cert_file=section.cert_file,
        key_file=section.key_file,
        client_ca_file=section.client_ca_file,
        require_client_certificate=section.require_client_certificate,
    )


def limits(config: Config) -> Limits:
    """What the engine needs to know of the section ``server``."""
    section = config.server
    return Limits(
        max_concurrent_rpcs=section.max_concurrent_rpcs,
        max_concurrent_streams=section.max_concurrent_streams,
        max_message_bytes=section.max_message_bytes,
        max_metadata_bytes=section.max_metadata_bytes,
        max_connection_age=section.max_connection_age,
        max_connection_age_grace=section.max_connection_age_grace,
        handshake_timeout=section.handshake_timeout,
    )


def _cors(config: Config) -> Cors:
    return Cors(config.server.cors_origins, config.server.cors_headers)


def key_file(config: Config) -> Path:
    """The key ring's file.

    Raises:
        KeyRingError: none is configured.
    """
    if config.tokens.key_file is None:
        raise KeyRingError("tokens.key_file is not set")
    return config.tokens.key_file
