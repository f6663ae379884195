"""What breaks during histories, by a plan that is drawn from a seed; each fault is over when it returns."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from redis.exceptions import RedisError

from tests.support.histories.calls import Outcome
from tests.support.histories.world import WORKERS, World
from tests.support.proxy import TcpProxy
from tests.support.waiting import eventually_async, until

LONGEST: Final = 0.7
_FIRST: Final = 0.6
_MOST_AT_ONCE: Final = 3
_RESTART_SECONDS: Final = 60.0

FaultKind = Callable[[World, random.Random], Awaitable[None]]


@asynccontextmanager
async def _for_a_while(draw: random.Random) -> AsyncIterator[None]:
    """As long as a round trip, or as a time-out: evenly by orders of magnitude."""
    over = time.monotonic() + 0.02 * (LONGEST / 0.02) ** draw.random()
    yield
    await until(over)


async def pause_redis(world: World, draw: random.Random) -> None:
    """Redis is stopped (SIGSTOP) and goes on."""
    world.server.pause()
    try:
        async with _for_a_while(draw):
            pass
    finally:
        world.server.resume()


async def kill_redis(world: World, _: random.Random) -> None:
    """Redis is killed, with all that it held, and starts again."""
    began = time.monotonic()
    await asyncio.to_thread(world.server.kill)
    world.everything_ended("Redis killed", began)
    await asyncio.to_thread(world.server.start)


async def flush(world: World, _: random.Random) -> None:
    """FLUSHALL."""
    began = time.monotonic()
    try:
        await world.store.flushall()
    except RedisError:
        world.everything_ended("FLUSHALL", began, Outcome.UNKNOWN)
    else:
        world.everything_ended("FLUSHALL", began)


async def kill_read_channels(world: World, draw: random.Random) -> None:
    """CLIENT KILL of a connection whose reads Redis tracks, or of all connections."""
    with suppress(RedisError):
        connections = await world.store.client_list()
        tracked = [each for each in connections if "t" in each["flags"]]
        if draw.random() < 0.5 and tracked:
            await world.store.client_kill_filter(_id=draw.choice(tracked)["id"])
        else:
            await world.store.client_kill_filter(_type="normal", skipme=True)


async def track_little(world: World, draw: random.Random) -> None:
    """The table of tracked keys overflows."""
    await world.track_at_most("10")
    async with _for_a_while(draw):
        pass
    await world.track_at_most()


async def pause_worker(world: World, draw: random.Random) -> None:
    """A process of the service is stopped and goes on."""
    pid = draw.choice(world.workers())
    world.signal_worker(pid, signal.SIGSTOP)
    try:
        async with _for_a_while(draw):
            pass
    finally:
        world.signal_worker(pid, signal.SIGCONT)


async def kill_worker(world: World, draw: random.Random) -> None:
    """A process of the service is killed; over when another serves in its place."""
    world.signal_worker(draw.choice(world.workers()), signal.SIGKILL)
    await eventually_async(lambda: len(world.workers()) == WORKERS, timeout=_RESTART_SECONDS)


async def pause_client(world: World, draw: random.Random) -> None:
    """A client's process is stopped and goes on."""
    client = draw.choice(world.client_processes())
    client.pause()
    try:
        async with _for_a_while(draw):
            pass
    finally:
        client.resume()


async def block_client(world: World, draw: random.Random) -> None:
    """A client's event loop is held up."""
    draw.choice(world.client_processes()).block(0.02 + draw.random() * 0.3)


def _held(direction: str) -> Callable[[TcpProxy, random.Random], Awaitable[None]]:
    async def hold(wire: TcpProxy, draw: random.Random) -> None:
        setattr(wire, direction, True)
        try:
            async with _for_a_while(draw):
                pass
        finally:
            setattr(wire, direction, False)

    return hold


async def _delay(wire: TcpProxy, draw: random.Random) -> None:
    wire.delay = 0.002 + 0.1 * draw.random()
    async with _for_a_while(draw):
        pass
    wire.delay = 0.0


async def _cut(wire: TcpProxy, _: random.Random) -> None:
    wire.cut()


_ON_WIRES: Final[dict[str, Callable[[TcpProxy, random.Random], Awaitable[None]]]] = {
    "stalls towards its client": _held("hold_replies"),
    "stalls towards its server": _held("hold_requests"),
    "is slow": _delay,
    "is cut": _cut,
}


def _on_wire(attribute: str, fault: Callable[[TcpProxy, random.Random], Awaitable[None]]) -> FaultKind:
    return lambda world, draw: fault(getattr(world, attribute), draw)


EVERYWHERE: Final[dict[str, FaultKind]] = {
    "FLUSHALL": flush,
    "CLIENT KILL": kill_read_channels,
    "tracking table overflows": track_little,
    "Redis stopped": pause_redis,
    **{f"wire to Redis {what}": _on_wire("redis_wire", fault) for what, fault in _ON_WIRES.items()},
    **{f"wire to the service {what}": _on_wire("service_wire", fault) for what, fault in _ON_WIRES.items()},
}
"""What can break wherever the service and the clients run."""

WITH_PROCESSES: Final[dict[str, FaultKind]] = EVERYWHERE | {
    "Redis killed": kill_redis,
    "worker stopped": pause_worker,
    "worker killed": kill_worker,
    "client stopped": pause_client,
    "client's loop blocked": block_client,
}
"""What can break where they have processes of their own."""

# A worker takes seconds to start again, and where all is gone there is little left to see.
_RARE: Final = {"worker killed": 0.15, "Redis killed": 0.3, "FLUSHALL": 0.5}


@dataclass(frozen=True, slots=True)
class Fault:
    """What breaks, so many seconds from the begin; ``seed`` decides how."""

    at: float
    what: str
    seed: int

    async def strike(self, world: World, began: float) -> None:
        """Break it when it is time."""
        await until(began + self.at)
        await WITH_PROCESSES[self.what](world, random.Random(self.seed))  # noqa: S311 - to be repeated


def plan(draw: random.Random, kinds: dict[str, FaultKind]) -> list[Fault]:
    """What breaks, and when; seldom nothing."""
    names = list(kinds)
    weights = [_RARE.get(name, 1.0) for name in names]
    count = draw.randint(0, _MOST_AT_ONCE)
    return [
        Fault(draw.uniform(0.02, _FIRST), what, draw.randrange(2**32))
        for what in dict.fromkeys(draw.choices(names, weights, k=count))
    ]
