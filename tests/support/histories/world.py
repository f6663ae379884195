"""Where histories happen: a Redis, a service over it, the wires between them, and the clients."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.support import LOOPBACK, RedisBinary, RedisServer, ServiceProcess, eventually_async
from tests.support.engines import services_on
from tests.support.histories.calls import EVERYTHING, Call, Effect, Outcome
from tests.support.histories.client import CheckingClient, Client
from tests.support.histories.client_process import ClientProcess
from tests.support.histories.ways import all_ways
from tests.support.in_process import ADMIN_KEY, in_process
from tests.support.processes import alive
from tests.support.proxy import TcpProxy
from tests.support.service_client import ServiceClient, connect

WORKERS: Final = 2

_READY_SECONDS: Final = 60.0
_TRACKED: Final = "1000000"
"""Redis's own ``tracking-table-max-keys``."""


@dataclass(slots=True)
class World:
    """What histories need, and what faults break.

    Args:
        server: the Redis.
        store: a client of it, past the wire.
        redis_wire: between the service and Redis.
        service_wire: between one of the clients, and half of the users, and the service.
        services: connections of users and operators, one over the wire and one past it.
        clients: they check.
        process: the service, where it runs in processes of its own.
    """

    server: RedisServer
    store: Redis
    redis_wire: TcpProxy
    service_wire: TcpProxy
    services: Sequence[ServiceClient]
    clients: Sequence[Client]
    process: ServiceProcess | None = None
    ends: list[Call] = field(default_factory=list)
    """Ends of everything, since this was last emptied."""
    histories: int = 0
    """How many there have been."""

    def client_processes(self) -> list[ClientProcess]:
        """The clients that can be stopped."""
        return [client for client in self.clients if isinstance(client, ClientProcess)]

    def workers(self) -> list[int]:
        """The ids of the service's processes that serve."""
        return [] if self.process is None else [pid for pid in self.process.worker_pids if alive(pid)]

    def signal_worker(self, pid: int, number: signal.Signals) -> None:
        """Send a worker a signal, if it is still there."""
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    def everything_ended(self, what: str, began: float, outcome: Outcome = Outcome.DONE) -> None:
        """Note that all sessions are gone, since a moment and until now."""
        self.ends.append(
            Call(
                what=what,
                by="fault",
                effect=Effect.END,
                name=EVERYTHING,
                began=began,
                ended=time.monotonic(),
                outcome=outcome,
            )
        )

    async def track_at_most(self, count: str = _TRACKED) -> None:
        """Limit how many keys Redis tracks, or no longer."""
        with suppress(RedisError):
            await self.store.config_set("tracking-table-max-keys", count)

    async def ready(self) -> None:
        """Wait until sessions can be begun and checked over every connection."""
        for service in self.services:
            await eventually_async(partial(answers, service), timeout=_READY_SECONDS)


@asynccontextmanager
async def world(binary: RedisBinary, engine: str, **session: Any) -> AsyncIterator[World]:
    """A world in processes of their own.

    Args:
        binary: of the Redis.
        engine: that carries the calls.
        **session: of the service's section, such as ``token_expire``.
    """
    async with AsyncExitStack() as stack:
        server = stack.enter_context(RedisServer(binary))
        redis_wire = await stack.enter_async_context(TcpProxy(server.port))
        stack.enter_context(services_on(engine))
        config = configured(redis_wire.port, session)
        process = ServiceProcess(config, arguments=("--workers", str(WORKERS)))
        # In a thread: the wire to Redis is carried by this loop.
        await asyncio.to_thread(process.__enter__)
        stack.push(process.__exit__)
        service_wire = await stack.enter_async_context(TcpProxy(int(process.address.rpartition(":")[2])))
        addresses = f"{LOOPBACK}:{service_wire.port}", process.address
        clients = [
            await stack.enter_async_context(ClientProcess(name, address, seed))
            for seed, (name, address) in enumerate(zip(("wired", "near"), addresses, strict=True))
        ]
        services = [
            await stack.enter_async_context(connect(address, process.admin_key)) for address in addresses
        ]
        store = await stack.enter_async_context(store_of(server))
        yield World(server, store, redis_wire, service_wire, services, clients, process)


@asynccontextmanager
async def world_in_process(binary: RedisBinary, directory: Path, **session: Any) -> AsyncIterator[World]:
    """A world whose service and client run in this event loop, with the code as it is patched at the time.

    A second service has no wire: what ends sessions there is acknowledged while the first cannot be told.

    Args:
        binary: of the Redis.
        directory: for the service's key file.
        **session: as ``world``.
    """
    async with AsyncExitStack() as stack:
        server = stack.enter_context(RedisServer(binary))
        redis_wire = await stack.enter_async_context(TcpProxy(server.port))
        sections = configured(redis_wire.port, session)
        there = sections.pop("redis")
        service = await stack.enter_async_context(in_process(there, directory, **sections))
        past = await stack.enter_async_context(
            in_process(there | {"port": server.port}, directory, **sections)
        )
        service_wire = await stack.enter_async_context(TcpProxy(int(service.address.rpartition(":")[2])))
        address = f"{LOOPBACK}:{service_wire.port}"
        ways = await stack.enter_async_context(all_ways(address))
        client = await stack.enter_async_context(CheckingClient("client", ways))
        wired = await stack.enter_async_context(connect(address, ADMIN_KEY))
        store = await stack.enter_async_context(store_of(server))
        yield World(server, store, redis_wire, service_wire, [wired, past], [client])


def configured(redis_port: int, session: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The sections of a service's configuration: quick to give up, and quick to note activity."""
    return {
        "redis": {"host": LOOPBACK, "port": redis_port, "command_timeout": 0.4},
        "session": {"refresh_grace": 0, "touch_interval": 1} | session,
        "server": {"drain_delay": 0.1, "shutdown_grace": 2.0},
    }


@asynccontextmanager
async def store_of(server: RedisServer) -> AsyncIterator[Redis]:
    """A client of a Redis past every wire; it gives up after a second."""
    store = Redis(unix_socket_path=str(server.socket_path), socket_timeout=1)
    try:
        yield store
    finally:
        await store.aclose()


async def answers(service: ServiceClient) -> bool:
    """Whether a session can be begun, checked and ended."""
    try:
        opened = await service.open_session("probe")
        await service.verify(opened.access_token)
        await service.logout(opened.access_token)
    except grpc.aio.AioRpcError:
        return False
    return True
