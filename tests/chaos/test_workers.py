"""Workers that are killed under load, on a port that they share."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support import RedisServer, ServiceProcess, eventually_async
from tests.support.outcomes import outcome
from tests.support.processes import alive
from tests.support.redis_contents import indexed_sessions, live_sessions
from tests.support.service_client import ServiceClient, connect
from tests.support.workload import Workload

# Each test runs on both engines.
pytestmark = pytest.mark.usefixtures("engine")

CONNECTIONS = 40
MANY = {"max_sessions": 1_000}


@pytest.fixture
def two_workers(one_redis: RedisServer, engine: str) -> Iterator[ServiceProcess]:
    """A service of two workers over `one_redis`."""
    config: dict[str, dict[str, Any]] = {"redis": {"url": one_redis.url}, "session": MANY}
    with ServiceProcess(config, arguments=("--workers", "2")) as service:
        yield service


async def clients_of(service: ServiceProcess, stack: AsyncExitStack, number: int) -> list[ServiceClient]:
    """So many clients, each with a connection of its own that has been used."""
    clients = [
        await stack.enter_async_context(connect(service.address, service.admin_key)) for _ in range(number)
    ]
    for client in clients:
        await client.open_session()
    return clients


def connections_of(pid: int) -> int:
    """How many sockets a process has."""
    links = Path(f"/proc/{pid}/fd").iterdir()
    return sum(str(link.readlink()).startswith("socket:") for link in links if link.is_symlink())


async def test_workers_share_the_port(two_workers: ServiceProcess) -> None:
    """Of forty connections each has some, by the kernel's choice."""
    before = [connections_of(pid) for pid in two_workers.worker_pids]
    async with AsyncExitStack() as stack:
        await clients_of(two_workers, stack, CONNECTIONS)
        after = [connections_of(pid) for pid in two_workers.worker_pids]
    gained = [now - then for now, then in zip(after, before, strict=True)]
    assert all(each >= 2 for each in gained), gained
    assert sum(gained) >= CONNECTIONS


async def test_a_worker_killed_under_load_leaves_nothing_half(
    two_workers: ServiceProcess, store: Any
) -> None:
    """Both are killed, one after the other: sessions are whole, and what was acknowledged stays so."""
    async with AsyncExitStack() as stack:
        clients = await clients_of(two_workers, stack, 8)
        load = Workload(*clients, clients=16, unanswered=("", "STORE_UNAVAILABLE"))
        for number, pid in enumerate(two_workers.worker_pids, start=1):
            await _goes_on(load)
            os.kill(pid, signal.SIGKILL)
            await eventually_async(_started(two_workers, 2 + number), timeout=30)
        await _goes_on(load)
        await load.stop()
        assert load.outcomes[""], "no call was in a worker when it was killed"
        assert live_sessions(store) == indexed_sessions(store)
        for token in load.alive:
            await clients[0].verify(token)
        for token in load.ended:
            assert await outcome(clients[0].verify(token)) == "SESSION_ENDED"
    checked = await asyncio.to_thread(two_workers.run, "fsck")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert await asyncio.to_thread(two_workers.stop) == 0


async def test_a_supervisor_killed_under_load_ends_its_workers_in_order(
    two_workers: ServiceProcess, store: Any
) -> None:
    """They drain by themselves: nothing of what is under way is lost, and none is left."""
    workers = two_workers.worker_pids
    async with AsyncExitStack() as stack:
        clients = await clients_of(two_workers, stack, 8)
        calls = [asyncio.ensure_future(client.open_session()) for client in clients for _ in range(20)]
        await asyncio.to_thread(two_workers.kill)
        await eventually_async(lambda: not any(map(alive, workers)), timeout=30)
        ended = await asyncio.gather(*calls, return_exceptions=True)
    assert [each for each in ended if isinstance(each, BaseException)] == []
    assert live_sessions(store) == indexed_sessions(store)
    assert len(two_workers.events("draining")) == 2


def _started(service: ServiceProcess, workers: int) -> Callable[[], bool]:
    return lambda: len(service.worker_pids) == workers


async def _goes_on(load: Workload) -> None:
    enough = load.outcomes["OK"] + 400
    await eventually_async(lambda: load.outcomes["OK"] > enough, timeout=30)
