"""What a million sessions cost: checks among them, a sweep through them, memory for each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Final

import redis
import uvloop
from prometheus_client import CollectorRegistry

from benchmarks.bench import Bench, Store
from benchmarks.engines import DEFAULT
from benchmarks.figures import Figure, alternate, figure
from benchmarks.load import Load
from benchmarks.population import create_sessions
from benchmarks.processes import EMBEDDED_OPTIONS, SERVICE, STOCK_OPTIONS, server
from session_service.app import Backend, make_metrics
from session_service.config import load_config
from session_service.domain.models import SweepReport
from session_service.storage import keys

_PER_USER: Final = 5
_LARGEST_SHARE: Final = 10
"""One session in so many belongs to a single user, whose index is by far the largest."""
_DEAD_SHARE: Final = 10
"""One session in so many is lost before the sweep, its index entry left behind."""
_STEP: Final = 1_000
_NOTED_US: Final = 100
"""Shorter commands are not noted."""


def measure_sizes(bench: Bench) -> Iterator[Figure]:
    """All figures that depend on how many sessions there are."""
    yield from _memory(bench)
    with bench.store("few") as few, bench.store("many") as many:
        yield from _checks_among(bench, few, many)
        yield from _sweep(bench, many)


def _checks_among(bench: Bench, few: Store, many: Store) -> Iterator[Figure]:
    """The same number of tokens checked where there is nothing else, and among a million sessions."""
    scale = bench.scale
    with (
        server(SERVICE, few.config, engine=DEFAULT) as beside_few,
        server(SERVICE, many.config, engine=DEFAULT) as beside_many,
    ):
        bench.say(f"filling a Redis with {scale.sessions:,} sessions")
        rest = scale.sessions - scale.sessions // _LARGEST_SHARE
        create_sessions(many.config, scale.sessions - rest, per_user=scale.sessions)
        of_many = create_sessions(many.config, rest, per_user=_PER_USER, granted=scale.few_sessions)
        of_few = create_sessions(few.config, scale.few_sessions, granted=scale.few_sessions)
        bench.say(f"VerifyToken among {scale.sessions:,} sessions and among {scale.few_sessions:,} in turn")
        first = Load(beside_few, "VerifyToken", bench.checks(of_few), calls=2 * scale.calls)
        second = replace(first, server=beside_many, requests=bench.checks(of_many))
        run = bench.generator.run
        pairs = alternate(scale.rounds, lambda: run(first), lambda: run(second))
    yield figure(
        "verify_cpu_ratio_1m",
        [among_many.cpu_us / among_few.cpu_us for among_few, among_many in pairs],
        must=1.1,
        note=f"CPU per VerifyToken with {scale.sessions:,} live sessions ÷ with {scale.few_sessions:,}",
    )


def _sweep(bench: Bench, store: Store) -> Iterator[Figure]:
    """The longest command, by Redis's own slow log, of a sweep that finds one entry in ten dead.

    The log's clock goes on while another process has the core: so Redis goes first here, where that
    is allowed.
    """
    longest = []
    for _ in range(bench.scale.sweeps):
        bench.say("a sweep through all of them")
        with redis.Redis(unix_socket_path=str(store.socket)) as client:
            _let_go_first(client)
            _lose_sessions(client)
            # Nothing is noted while the log is emptied: that may be the longest command of all.
            client.config_set("slowlog-log-slower-than", -1)
            client.config_set("slowlog-max-len", 1_000_000)
            client.slowlog_reset()
            client.config_set("slowlog-log-slower-than", _NOTED_US)
            uvloop.run(_swept(store))
            noted = [entry["duration"] for entry in client.slowlog_get(1_000_000)]
        longest.append(max(noted, default=_NOTED_US) / 1000)
    yield figure(
        "sweep_longest_command_ms",
        longest,
        must=10.0,
        note=f"longest Redis command in a sweep over {bench.scale.sessions:,} index entries",
    )


def _let_go_first(client: redis.Redis) -> None:
    """Raise the priority of the Redis; only root may."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, client.info("server")["process_id"], -10)


def _lose_sessions(client: redis.Redis) -> None:
    """Delete sessions as eviction would: behind the service's back."""
    sessions = client.scan_iter(keys.ANY_SESSION, count=_STEP)
    while lost := list(islice(sessions, 0, _STEP, _DEAD_SHARE)):
        client.unlink(*lost)


async def _swept(store: Store) -> SweepReport:
    config = load_config(store.config, {})
    async with Backend(config, make_metrics(CollectorRegistry())) as backend:
        return await backend.upkeep.sweep()


def _memory(bench: Bench) -> Iterator[Figure]:
    bench.say("memory per session")
    note = f"bytes per session, all its keys, {_PER_USER} sessions a user"
    session, mark = _weigh(bench, "weighed", EMBEDDED_OPTIONS)
    yield figure("session_bytes", [session], must=900.0, note=note)
    stock, _ = _weigh(bench, "weighed-stock", STOCK_OPTIONS)
    yield figure("session_bytes_stock", [stock], note="the same with Redis's own defaults")
    yield figure("known_device_bytes", [mark], note="bytes per device that a user is known by, for 180 days")


def _weigh(bench: Bench, name: str, options: Mapping[str, str]) -> tuple[float, float]:
    """Memory that Redis gives out per session, and per device mark, which outlives it."""
    count = bench.scale.weighed
    with bench.store(name, options) as store, redis.Redis(unix_socket_path=str(store.socket)) as client:
        # Scripts, connections and buffers are there before the first weighing.
        create_sessions(store.config, _PER_USER * 100, per_user=_PER_USER)
        before = _used(client)
        create_sessions(store.config, count, per_user=_PER_USER)
        marked = _used(client)
        for key in client.scan_iter(keys.user_devices("*"), count=_STEP):
            client.delete(key)
        return (_used(client) - before) / count, (marked - _used(client)) / count


def _used(client: redis.Redis) -> int:
    return int(client.info("memory")["used_memory"])
