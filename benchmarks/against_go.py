"""The service against a peer written by hand in Go, which answers the same calls over the same Redis data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.bench import Bench, Store
from benchmarks.engines import DEFAULT
from benchmarks.figures import Figure, alternate, figure
from benchmarks.go_programs import build_peer
from benchmarks.load import Load, Result
from benchmarks.population import create_sessions
from benchmarks.processes import SERVICE, go_peer, server

_FEW_IN_FLIGHT: Final = 8
_PACED: Final = 4_000.0
# More than a server that keeps up ever has: 60 ms of calls.
_MOST_IN_FLIGHT: Final = 240


def measure_against_go(bench: Bench) -> Iterator[Figure]:
    """All figures of strict checks against the Go peer, over one Redis."""
    bench.say("building the Go peer")
    program = build_peer(bench.directory)
    with (
        bench.store("go") as store,
        server(SERVICE, store.config, engine=DEFAULT) as service,
        go_peer(program, store.config) as peer,
        go_peer(program, store.config, empty=True) as empty,
    ):
        load = Load(service, "VerifyToken", Path(), calls=3 * bench.scale.calls)
        targets = [load, replace(load, server=peer), replace(load, server=empty)]
        yield from _saturated(_rounds(bench, store, targets))
        few = [replace(each, in_flight=_FEW_IN_FLIGHT, calls=2 * bench.scale.calls) for each in targets[:2]]
        yield from _few(_rounds(bench, store, few))
        paced = [
            replace(each, rate=_PACED, in_flight=_MOST_IN_FLIGHT, calls=0, seconds=bench.scale.seconds)
            for each in targets[:2]
        ]
        yield from _paced(_rounds(bench, store, paced))


def _rounds(bench: Bench, store: Store, loads: Sequence[Load]) -> list[tuple[Result, ...]]:
    """Run the loads in turn on sessions so new that no check also records activity."""
    bench.say(f"VerifyToken here and in Go in turn, {_described(loads[0])}")
    grants = create_sessions(store.config, bench.scale.tokens, granted=bench.scale.tokens)
    requests = bench.checks(grants)
    return alternate(
        bench.scale.rounds,
        *(lambda load=each: bench.generator.run(replace(load, requests=requests)) for each in loads),
    )


def _described(load: Load) -> str:
    return f"{load.rate:,.0f} a second" if load.rate else f"{load.in_flight} in flight"


def _saturated(rounds: Sequence[tuple[Result, ...]]) -> Iterator[Figure]:
    yield figure("go_verify_cpu_us", [go.cpu_us for _, go, _ in rounds], note="the Go peer's VerifyToken")
    yield figure("go_verify_per_second", [go.rate for _, go, _ in rounds])
    yield figure("go_empty_cpu_us", [empty.cpu_us for _, _, empty in rounds], note="an empty handler in Go")
    yield figure(
        "verify_cpu_over_go",
        [ours.cpu_us / go.cpu_us for ours, go, _ in rounds],
        must=0.85,
        note="CPU per strict VerifyToken ÷ the Go peer's, 64 in flight",
    )
    yield figure(
        "verify_per_second_over_go",
        [ours.rate / go.rate for ours, go, _ in rounds],
        least=1.0,
        note="strict checks a second ÷ the Go peer's, 64 in flight",
    )


def _few(rounds: Sequence[tuple[Result, ...]]) -> Iterator[Figure]:
    yield figure("go_verify_p50_ms", [go.p50_us / 1000 for _, go in rounds])
    yield figure("go_verify_p99_ms", [go.p99_us / 1000 for _, go in rounds])
    yield figure(
        "verify_p50_over_go",
        [ours.p50_us / go.p50_us for ours, go in rounds],
        must=1.3,
        note=f"median latency ÷ the Go peer's, {_FEW_IN_FLIGHT} in flight",
    )
    yield figure(
        "verify_p99_over_go",
        [ours.p99_us / go.p99_us for ours, go in rounds],
        must=1.5,
        note="its 99th percentile likewise",
    )


def _paced(rounds: Sequence[tuple[Result, ...]]) -> Iterator[Figure]:
    yield figure("verify_paced_cpu_us", [ours.cpu_us for ours, _ in rounds])
    yield figure("go_verify_paced_cpu_us", [go.cpu_us for _, go in rounds])
    yield figure(
        "verify_cpu_paced_over_go",
        [ours.cpu_us / go.cpu_us for ours, go in rounds],
        must=1.0,
        note=f"CPU per strict VerifyToken ÷ the Go peer's, {_PACED:,.0f} a second evenly",
    )
    yield figure(
        "verify_p99_paced_over_go",
        [ours.p99_us / go.p99_us for ours, go in rounds],
        note="99th percentile of latency ÷ the Go peer's, likewise",
    )
