"""One serving process, from its start to its drained stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from session_service.app import Backend, Service
from session_service.certificate_files import CertificateWatch
from session_service.config import Config
from session_service.domain.errors import StoreUnavailable
from session_service.observability.metrics import Metrics
from session_service.opening import (
    Counting,
    OpenServer,
    Server,
    certificate_watch,
    cors,
    limits,
    open_configured,
)
from session_service.orders import Orders, follow_signals
from session_service.rpc.draining import Drain
from session_service.rpc.health import Health
from session_service.rpc.http.app import HttpApp
from session_service.rpc.mount import mount
from session_service.rpc.traffic import Traffic
from session_service.tokens.keys import KeyRingError, load_key_ring

_HEALTH_SECONDS = 1.0
_METRICS_SECONDS = 1.0
_ENDED_SECONDS = 1.0
_CERTIFICATE_SECONDS = 1.0
_GC_THRESHOLDS = (10_000, 20, 50)

log = logging.getLogger(__name__)


class ServingEndedError(Exception):
    """The server ended although nobody had asked it to; its own log says why."""


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
        CertificateError: the certificates of ``server.tls`` are not usable.
        OSError: the address cannot be listened on.
        ServingEndedError: the server ended by itself.
    """
    async with running(config, metrics, open_server) as server:
        orders.apply_to(server)
        _collect_seldom()
        on_ready(server.address)
        await _stopping(orders, server)


async def _stopping(orders: Orders, running: Running) -> None:
    """Return when a stop is ordered.

    Raises:
        ServingEndedError: the server ended before; a process that lives on would serve nobody.
    """
    ordered = asyncio.ensure_future(orders.stopping.wait())
    ended = asyncio.ensure_future(_until_it_ends(running.server))
    try:
        await asyncio.wait({ordered, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not ordered.done():
            running.leave_soon()
            ended.result()
    finally:
        ordered.cancel()
        ended.cancel()


async def _until_it_ends(server: Server) -> NoReturn:
    """Raise when a server has ended by itself.

    Asked again and again: ``grpc.aio`` also waits for the calls in flight, some of which never end, before it
    says so by itself.
    """
    try:
        while await server.wait_for_termination(_ENDED_SECONDS):
            pass
    except Exception as error:
        raise ServingEndedError("the server has ended by itself") from error
    raise ServingEndedError("the server has ended by itself")


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
    follow_signals(orders)
    await serve(config, metrics, orders, on_ready, partial(open_configured, share_port=share_port))


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers calls."""

    address: str
    http_address: str | None
    config: Config
    service: Service
    server: Server
    drain: Drain

    def leave_soon(self) -> None:
        """Take calls for a moment more at most."""
        self.drain.soon()

    def cut_short(self) -> None:
        """Stop at once, whatever is in flight."""
        self.drain.hurry()

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
        certificates = certificate_watch(config)
        section, traffic = config.server, Traffic(metrics.calls)
        http = HttpApp(limits(config), cors(config), lambda: service.health.serving)
        opened = open_server(config, http, certificates)
        server, address = opened.server, opened.address
        mount((server, http), service.servicers, traffic, limits(config), reflection=section.reflection)
        async with _background(backend, service.health, server, certificates):
            await server.start()
            log.info("serving", extra={"address": address, "http_address": opened.http_address})
            drain = Drain(server, service.health, traffic)
            try:
                yield Running(address, opened.http_address, config, service, server, drain)
            finally:
                await drain.run(section.drain_delay, section.shutdown_grace)


@contextlib.asynccontextmanager
async def _background(
    backend: Backend, health: Health, server: Server, certificates: CertificateWatch | None
) -> AsyncIterator[None]:
    """Run what goes on beside the calls; health has been looked at once before it yields."""
    counting = server if isinstance(server, Counting) else None
    await _look(backend, health)
    tasks = [
        asyncio.create_task(_follow_store(backend, health), name="health"),
        asyncio.create_task(_sweep(backend), name="sweep"),
        asyncio.create_task(_show_metrics(backend.metrics, counting), name="metrics"),
    ]
    if certificates:
        follow = _follow_certificates(certificates, backend.metrics)
        tasks.append(asyncio.create_task(follow, name="certificates"))
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


async def _follow_certificates(certificates: CertificateWatch, metrics: Metrics) -> None:
    """Serve what is renewed on disk within seconds."""
    while True:
        metrics.certificate_expires(certificates.current.expires)
        await asyncio.sleep(_CERTIFICATE_SECONDS)
        try:
            # Not in the loop: the files may be on a disk that is slow, or gone.
            if found := await asyncio.to_thread(certificates.load):
                certificates.replace(found)
        except Exception:
            # No reason to serve the old ones until they end.
            log.exception("certificates cannot be looked at")


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


def key_file(config: Config) -> Path:
    """The key ring's file.

    Raises:
        KeyRingError: none is configured.
    """
    if config.tokens.key_file is None:
        raise KeyRingError("tokens.key_file is not set")
    return config.tokens.key_file
