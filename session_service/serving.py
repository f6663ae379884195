"""One serving process, from its start to its drained stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import grpc

from session_service.app import Backend, Service
from session_service.config import Config
from session_service.config.sections import ServerTlsSection
from session_service.domain.errors import StoreUnavailable
from session_service.observability.metrics import Metrics
from session_service.rpc.draining import Drain
from session_service.rpc.engines import grpc_aio
from session_service.rpc.health import Health
from session_service.rpc.mount import mount
from session_service.rpc.traffic import Traffic
from session_service.tokens.keys import KeyRingError, load_key_ring

_HEALTH_SECONDS = 1.0

log = logging.getLogger(__name__)


async def serve(
    config: Config, metrics: Metrics, on_ready: Callable[[str], None], *, share_port: bool = False
) -> None:
    """Serve until SIGTERM or SIGINT, then drain; at SIGHUP, read the keys again.

    A second SIGINT cuts the drain short: somebody stands at the terminal and waits.

    Args:
        config: complete, as ``missing_to_serve`` says.
        metrics: what to count into.
        on_ready: called with the address once it is served and health has been looked at.
        share_port: let other workers listen on the same port.

    Raises:
        KeyRingError: the key file is not usable.
        OSError: the address cannot be listened on.
    """
    stopping = _stop_signals()
    async with running(config, metrics, share_port=share_port) as server:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, _interrupt, server, stopping)
        loop.add_signal_handler(signal.SIGHUP, _hang_up, server, stopping, sys.stderr.isatty())
        # Held back while a worker starts, where it would have ended it.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        on_ready(server.address)
        await stopping.wait()


def terminal_gone(on_terminal: bool) -> bool:
    """Whether SIGHUP came because the terminal was closed, and not to have the keys read again.

    Args:
        on_terminal: whether the process was started on one.
    """
    return on_terminal and not sys.stderr.isatty()


def _interrupt(server: Running, stopping: asyncio.Event) -> None:
    if stopping.is_set():
        server.drain.hurry()
    stopping.set()


def _hang_up(server: Running, stopping: asyncio.Event, on_terminal: bool) -> None:
    if terminal_gone(on_terminal):
        stopping.set()
    else:
        server.reload_keys()


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers calls."""

    address: str
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
async def running(config: Config, metrics: Metrics, *, share_port: bool = False) -> AsyncIterator[Running]:
    """Serve around a block; drain after it. As ``serve``, without its signals."""
    ring = load_key_ring(key_file(config))
    async with Backend(config, metrics) as backend:
        service = Service(backend, ring)
        server = grpc_aio.make_server(limits(config), share_port=share_port)
        section, traffic = config.server, Traffic(metrics.calls)
        mount(
            server,
            service.servicers,
            traffic,
            max_calls=section.max_concurrent_rpcs,
            reflection=section.reflection,
        )
        address = _listen(server, config)
        async with _background(backend, service.health):
            await server.start()
            log.info("serving", extra={"address": address})
            drain = Drain(server, service.health, traffic)
            try:
                yield Running(address, config, service, drain)
            finally:
                await drain.run(section.drain_delay, section.shutdown_grace)


@contextlib.asynccontextmanager
async def _background(backend: Backend, health: Health) -> AsyncIterator[None]:
    """Run what goes on beside the calls; health has been looked at once before it yields."""
    await _look(backend, health)
    tasks = [
        asyncio.create_task(_follow_store(backend, health), name="health"),
        asyncio.create_task(_sweep(backend), name="sweep"),
    ]
    try:
        yield
    finally:
        await _end(tasks)


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


async def _look(backend: Backend, health: Health) -> None:
    healthy = await backend.connections.ping()
    backend.metrics.store_up.set(healthy)
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


def _stop_signals() -> asyncio.Event:
    """Set at SIGTERM, at SIGINT, and when the supervisor is gone."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    if parent := multiprocessing.parent_process():
        loop.add_reader(parent.sentinel, _orphaned, loop, parent.sentinel, stopping)
    return stopping


def _orphaned(loop: asyncio.AbstractEventLoop, sentinel: int, stopping: asyncio.Event) -> None:
    """Stop, and look no more: what is closed stays readable, and would keep the loop awake."""
    loop.remove_reader(sentinel)
    stopping.set()


def _listen(server: grpc.aio.Server, config: Config) -> str:
    """Bind; returns the address with the port that it got."""
    section = config.server
    port = grpc_aio.listen(server, section.listen, _tls(section.tls))
    if section.listen.startswith("unix:"):
        return section.listen
    return f"{section.listen.rpartition(':')[0]}:{port}"


def _tls(section: ServerTlsSection | None) -> grpc_aio.ServerTls | None:
    if section is None:
        return None
    return grpc_aio.ServerTls(
        cert_file=section.cert_file,
        key_file=section.key_file,
        client_ca_file=section.client_ca_file,
        require_client_certificate=section.require_client_certificate,
    )


def limits(config: Config) -> grpc_aio.Limits:
    """What the engine needs to know of the section ``server``."""
    section = config.server
    return grpc_aio.Limits(
        max_concurrent_rpcs=section.max_concurrent_rpcs,
        max_concurrent_streams=section.max_concurrent_streams,
        max_message_bytes=section.max_message_bytes,
        max_metadata_bytes=section.max_metadata_bytes,
        max_connection_age=section.max_connection_age,
        max_connection_age_grace=section.max_connection_age_grace,
        handshake_timeout=section.handshake_timeout,
    )


def key_file(config: Config) -> Path:
    """The key ring's file.

    Raises:
        KeyRingError: none is configured.
    """
    if config.tokens.key_file is None:
        raise KeyRingError("tokens.key_file is not set")
    return config.tokens.key_file
