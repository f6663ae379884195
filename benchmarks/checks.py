"""What a check costs on each engine: strictly, from memory, and beside a handler that does nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from google.protobuf.duration_pb2 import Duration
from session_api.v1 import session_service_pb2 as pb

from benchmarks.bench import Bench, Store
from benchmarks.engines import DEFAULT, EMPTY, PREFIXES
from benchmarks.figures import Figure, alternate, figure, method_figures
from benchmarks.load import Load, Request, Result
from benchmarks.population import create_sessions
from benchmarks.processes import EMPTY_BATCHED, SERVICE, server
from session_service.config.sections import Engine

_BOUND: Final = Duration(seconds=1)
_FEW_IN_FLIGHT: Final = 8
# Of an engine's own empty handler, strictly and from memory.
_OVER_EMPTY: Final = {DEFAULT: (None, 1.15), Engine.GRPC_AIO: (1.25, 1.15)}
_MEMORY_OVER_STRICT: Final = 0.7
_OVER_GRPC_AIO: Final = 0.40

_EMPTY_BATCHED: Final = "empty_batched"

Key = tuple[Engine, str]
"""A load: the engine, and what is asked of it."""


def measure_checks(bench: Bench) -> Iterator[Figure]:
    """All figures of checks, on all engines in turn, over one Redis."""
    with bench.store("checks") as store, ExitStack() as stack:
        loads = _loads(bench, store, stack)
        bench.say("an empty handler, VerifyToken and VerifyToken from memory on each engine in turn")
        run = bench.generator.run
        taken = alternate(bench.scale.rounds, *(lambda load=each: run(load) for each in loads.values()))
        rounds = [dict(zip(loads, each, strict=True)) for each in taken]
        for engine, prefix in PREFIXES.items():
            for name in ("empty_handler", "verify_token"):
                key = engine, name
                few = replace(loads[key], in_flight=_FEW_IN_FLIGHT, calls=0, seconds=bench.scale.seconds)
                yield from method_figures(prefix + name, [each[key] for each in rounds], run(few))
            yield from _over_empty(engine, rounds)
        yield from _of_the_default(rounds)


def _loads(bench: Bench, store: Store, stack: ExitStack) -> dict[Key, Load]:
    """What is asked of each engine; their servers run until the stack is left."""
    # Of sessions so new that no check also records activity.
    grants = create_sessions(store.config, bench.scale.tokens, granted=bench.scale.tokens)
    strict = bench.checks(grants)
    bounded = [pb.VerifyTokenRequest(token=each.access_token, max_staleness=_BOUND) for each in grants]
    known = bench.generator.requests([Request(each) for each in bounded])
    loads: dict[Key, Load] = {}
    for engine in PREFIXES:
        empty = stack.enter_context(server(EMPTY[engine], store.config))
        service = stack.enter_context(server(SERVICE, store.config, engine=engine))
        # All rounds are over before the sessions are a minute old.
        calls = bench.scale.calls * 2 if engine is DEFAULT else bench.scale.calls // 3
        loads[engine, "empty_handler"] = Load(empty, "VerifyToken", strict, calls=calls)
        loads[engine, "verify_token"] = Load(service, "VerifyToken", strict, calls=calls)
        loads[engine, "known_token"] = Load(service, "VerifyToken", known, calls=calls)
    batched = stack.enter_context(server(EMPTY_BATCHED, store.config))
    loads[DEFAULT, _EMPTY_BATCHED] = replace(loads[DEFAULT, "empty_handler"], server=batched)
    return loads


def _over_empty(engine: Engine, rounds: Sequence[Mapping[Key, Result]]) -> Iterator[Figure]:
    """Checks against the empty handler of their engine."""
    prefix, (strict_bar, memory_bar) = PREFIXES[engine], _OVER_EMPTY[engine]
    yield figure(
        f"{prefix}verify_over_empty",
        _ratios(rounds, (engine, "verify_token"), (engine, "empty_handler")),
        must=strict_bar,
        note=f"CPU per VerifyToken ÷ per call of an empty handler, {engine.value}",
    )
    yield figure(
        f"{prefix}near_cache_over_empty",
        _ratios(rounds, (engine, "known_token"), (engine, "empty_handler")),
        must=memory_bar,
        note=f"CPU per VerifyToken from memory ÷ per call of an empty handler, {engine.value}",
    )


def _of_the_default(rounds: Sequence[Mapping[Key, Result]]) -> Iterator[Figure]:
    strict, batched = (DEFAULT, "verify_token"), (DEFAULT, _EMPTY_BATCHED)
    yield figure("empty_batched_cpu_us", [each[batched].cpu_us for each in rounds])
    yield figure(
        "verify_over_empty_batched",
        _ratios(rounds, strict, batched),
        note="CPU per VerifyToken ÷ per call of an empty handler that is served by the batch",
    )
    yield figure(
        "near_cache_over_verify",
        _ratios(rounds, (DEFAULT, "known_token"), strict),
        must=_MEMORY_OVER_STRICT,
        note="CPU per VerifyToken from memory ÷ per strict one",
    )
    yield figure(
        "verify_cpu_ratio",
        _ratios(rounds, strict, (Engine.GRPC_AIO, "empty_handler")),
        must=_OVER_GRPC_AIO,
        note="CPU per VerifyToken ÷ per call of grpc.aio's empty handler",
    )


def _ratios(rounds: Sequence[Mapping[Key, Result]], one: Key, other: Key) -> list[float]:
    return [each[one].cpu_us / each[other].cpu_us for each in rounds]
