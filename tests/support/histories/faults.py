"""What breaks during histories, by a plan that is drawn from a seed; each fault is over when it returns."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from redis.exceptions import RedisError

from tests.support.histories.calls import Outcome
from tests.support.histories.world import WORKERS, World
from tests.support.proxy import TcpProxy
from tests.support.waiting import eventually_async, until

_SHORTEST: Final = 0.02
_LONGEST: Final = 0.7
_LATEST: Final = 0.6
_MOST_AT_ONCE: Final = 3
_RESTART_SECONDS: Final = 60.0

FaultKind = Callable[[World, random.Random, float], Awaitable[None]]
"""Breaks something for so many seconds, or for as long as it takes to mend."""


async def _last(seconds: float) -> None:
    await until(time.monotonic() + seconds)


async def pause_redis(world: World, _: random.Random, seconds: float) -> None:
    """Redis is stopped (SIGSTOP) and goes on."""
    world.server.pause()
    try:
        await _last(seconds)
    finally:
        world.server.resume()


async def kill_redis(world: World, _: random.Random, __: float) -> None:
    """Redis is killed, with all that it held, and starts again."""
    began = time.monotonic()
    await asyncio.to_thread(world.server.kill)
    world.everything_ended("Redis killed", began)
    await asyncio.to_thread(world.server.start)


async def flush(world: World, _: random.Random, __: float) -> None:
    """FLUSHALL."""
    began = time.monotonic()
    try:
        await world.store.flushall()
    except RedisError:
        world.everything_ended("FLUSHALL", began, Outcome.UNKNOWN)
    else:
        world.everything_ended("FLUSHALL", began)


async def kill_read_channels(world: World, draw: random.Random, _: float) -> None:
    """CLIENT KILL of a connection whose reads Redis tracks, or of all connections."""
    with suppress(RedisError):
        connections = await world.store.client_list()
        tracked = [each for each in connections if "t" in each["flags"]]
        if draw.random() < 0.5 and tracked:
            await world.store.client_kill_filter(_id=draw.choice(tracked)["id"])
        else:
            await world.store.client_kill_filter(_type="normal", skipme=True)


async def track_little(world: World, _: random.Random, seconds: float) -> None:
    """The table of tracked keys overflows."""
    await world.track_at_most("10")
    await _last(seconds)
    await world.track_at_most()


async def pause_worker(world: World, draw: random.Random, seconds: float) -> None:
    """A process of the service is stopped and goes on."""
    pid = draw.choice(world.workers())
    world.signal_worker(pid, signal.SIGSTOP)
    try:
        await _last(seconds)
    finally:
        world.signal_worker(pid, signal.SIGCONT)


async def kill_worker(world: World, draw: random.Random, _: float) -> None:
    """A process of the service is killed; over when another serves in its place."""
    world.signal_worker(draw.choice(world.workers()), signal.SIGKILL)
    await eventually_async(lambda: len(world.workers()) == WORKERS, timeout=_RESTART_SECONDS)


async def pause_client(world: World, draw: random.Random, seconds: float) -> None:
    """A client's process is stopped and goes on."""
    client = draw.choice(world.client_processes())
    client.pause()
    try:
        await _last(seconds)
    finally:
        client.resume()


async def block_client(world: World, draw: random.Random, seconds: float) -> None:
    """A client's event loop is held up."""
    draw.choice(world.client_processes()).block(seconds)


def _switch(wire: str, attribute: str) -> FaultKind:
    async def fault(world: World, _: random.Random, seconds: float) -> None:
        setattr(getattr(world, wire), attribute, True)
        try:
            await _last(seconds)
        finally:
            setattr(getattr(world, wire), attribute, False)

    return fault


def _delay(wire: str) -> FaultKind:
    async def fault(world: World, draw: random.Random, seconds: float) -> None:
        slow: TcpProxy = getattr(world, wire)
        slow.delay = draw.uniform(0.002, 0.1)
        await _last(seconds)
        slow.delay = 0.0

    return fault


def _cut(wire: str) -> FaultKind:
    async def fault(world: World, _: random.Random, __: float) -> None:
        getattr(world, wire).cut()

    return fault


def _on(wire: str, name: str) -> dict[str, FaultKind]:
    return {
        f"{name} stalls towards its client": _switch(wire, "hold_replies"),
        f"{name} stalls towards its server": _switch(wire, "hold_requests"),
        f"{name} is slow": _delay(wire),
        f"{name} is cut": _cut(wire),
    }


EVERYWHERE: Final[dict[str, FaultKind]] = {
    "FLUSHALL": flush,
    "CLIENT KILL": kill_read_channels,
    "tracking table overflows": track_little,
    "Redis stopped": pause_redis,
    "Redis's word of changes stalls": _switch("redis_wire", "hold_word"),
    **_on("redis_wire", "wire to Redis"),
    **_on("service_wire", "wire to the service"),
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
    """What breaks.

    Args:
        at: when, in seconds from the begin.
        what: a key of ``WITH_PROCESSES``.
        seconds: how long it lasts, where that can be chosen.
        seed: decides what else can be.
    """

    at: float
    what: str
    seconds: float = 0.0
    seed: int = 0

    def __str__(self) -> str:
        """When, what, how long."""
        return f"{self.what} at {self.at * 1000:.0f} ms for {self.seconds * 1000:.0f} ms"

    async def strike(self, world: World, began: float) -> None:
        """Break it when it is time, and mend it."""
        await until(began + self.at)
        draw = random.Random(self.seed)  # noqa: S311 - a plan that can be repeated
        await WITH_PROCESSES[self.what](world, draw, self.seconds)


def plan(draw: random.Random, kinds: Mapping[str, FaultKind]) -> list[Fault]:
    """What breaks, and when; seldom nothing."""
    weights = [_RARE.get(name, 1.0) for name in kinds]
    drawn = draw.choices(list(kinds), weights, k=draw.randint(0, _MOST_AT_ONCE))
    return [
        Fault(draw.uniform(0.02, _LATEST), what, _seconds(draw), draw.randrange(2**32))
        for what in dict.fromkeys(drawn)
    ]


def _seconds(draw: random.Random) -> float:
    """From a round trip to more than a time-out, all orders of magnitude alike."""
    return float(_SHORTEST * (_LONGEST / _SHORTEST) ** draw.random())
