"""A worker itself: how soon it is ready, and what memory it comes to."""

from __future__ import annotations

import time
from collections.abc import Iterator

import grpc
from grpc_health.v1 import health_pb2

from benchmarks.bench import Bench, Store
from benchmarks.engines import DEFAULT, PREFIXES
from benchmarks.errors import BenchmarkError
from benchmarks.figures import Figure, figure
from benchmarks.load import Load
from benchmarks.population import create_sessions
from benchmarks.processes import SERVICE, resident_bytes, server
from session_service.config.sections import Engine

_READY_BAR = {DEFAULT: 2.0, Engine.GRPC_AIO: None}
_HEALTH_SECONDS = 5.0


def measure_worker(bench: Bench) -> Iterator[Figure]:
    """All figures of a single worker."""
    with bench.store("worker") as store:
        bench.say("starts of each engine in turn")
        starts = [
            {engine: _ready_after(store, engine) for engine in PREFIXES}
            for _ in range(bench.scale.starts + 1)
        ][1:]
        for engine, prefix in PREFIXES.items():
            yield figure(
                f"{prefix}ready_s",
                [each[engine] for each in starts],
                must=_READY_BAR[engine],
                note=f"from a start to health SERVING, {engine.value}",
            )
        yield _memory(bench, store)


def _ready_after(store: Store, engine: Engine) -> float:
    """Seconds from a worker's start until it says that it serves."""
    began = time.monotonic()
    with (
        server(SERVICE, store.config, engine=engine) as started,
        grpc.insecure_channel(started.address) as to,
    ):
        check = to.unary_unary(
            "/grpc.health.v1.Health/Check",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )
        answer = check(health_pb2.HealthCheckRequest(), timeout=_HEALTH_SECONDS, wait_for_ready=True)
        took = time.monotonic() - began
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise BenchmarkError(f"a worker on {engine.value} serves and says that it does not")
    return took


def _memory(bench: Bench, store: Store) -> Figure:
    scale = bench.scale
    bench.say(f"memory of a worker after {scale.lasting:,} checks")
    requests = bench.checks(create_sessions(store.config, scale.tokens, granted=scale.tokens))
    with server(SERVICE, store.config, engine=DEFAULT) as service:
        bench.generator.run(Load(service, "VerifyToken", requests, calls=scale.lasting, seconds=300))
        used = resident_bytes(service.pid) / 1e6
    note = f"memory of a worker, all its processes, after {scale.lasting:,} checks of {scale.tokens:,} tokens"
    return figure("worker_rss_mb", [used], must=110, note=note)
