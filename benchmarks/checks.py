"""What a check costs on each engine: strictly, from memory, and beside a handler that does nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from google.protobuf.duration_pb2 import Duration
from session_api.v1 import session_service_pb2 as pb

from benchmarks.bench import Bench, Store
from benchmarks.engines import DEFAULT, EMPTY, PREFIXES
from benchmarks.figures import Figure, alternate, figure, method_figures
from benchmarks.load import Load, Request, Result
from benchmarks.population import create_sessions
from benchmarks.processes import SERVICE, server
from session_service.config.sections import Engine

_BOUND: Final = Duration(seconds=1)
_FEW_IN_FLIGHT: Final = 8
# Of an engine's own empty handler. Where that costs little, even a cheap check is a multiple of it.
_OVER_EMPTY: Final = {DEFAULT: (None, None), Engine.GRPC_AIO: (1.25, 1.15)}
_MEMORY_OVER_STRICT: Final = 0.7
_OVER_GRPC_AIO: Final = 0.40

Taken = tuple[Result, Result, Result]
"""A round on one engine: the empty handler, a strict check, a check from memory."""


def measure_checks(bench: Bench) -> Iterator[Figure]:
    """All figures of checks, on all engines in turn, over one Redis."""
    with bench.store("checks") as store, ExitStack() as stack:
        loads = {engine: _loads(bench, store, engine, stack) for engine in PREFIXES}
        bench.say("an empty handler, VerifyToken and VerifyToken from memory on each engine in turn")
        requests = _requests(bench, store)
        flat = [
            replace(load, requests=file)
            for each in loads.values()
            for load, file in zip(each, requests, strict=True)
        ]
        run = bench.generator.run
        rounds = alternate(bench.scale.rounds, *(lambda load=each: run(load) for each in flat))
        for place, engine in enumerate(PREFIXES):
            taken = [(each[3 * place], each[3 * place + 1], each[3 * place + 2]) for each in rounds]
            few = [_few(bench, load) for load in flat[3 * place : 3 * place + 2]]
            yield from _engine(engine, taken, few)
        yield figure(
            "verify_cpu_ratio",
            [each[1].cpu_us / each[3].cpu_us for each in rounds],
            must=_OVER_GRPC_AIO,
            note="CPU per VerifyToken ÷ per call of grpc.aio's empty handler",
        )


def _loads(bench: Bench, store: Store, engine: Engine, stack: ExitStack) -> tuple[Load, Load, Load]:
    """The three loads on an engine, without requests; its servers run until the stack is left."""
    empty = stack.enter_context(server(EMPTY[engine], store.config))
    service = stack.enter_context(server(SERVICE, store.config, engine=engine))
    calls = bench.scale.calls * (2 if engine is DEFAULT else 1)
    strict = Load(service, "VerifyToken", store.config, calls=calls)
    return replace(strict, server=empty), strict, strict


def _requests(bench: Bench, store: Store) -> tuple[Path, Path, Path]:
    """What the three loads ask, of sessions so new that no check also records activity."""
    grants = create_sessions(store.config, bench.scale.tokens, granted=bench.scale.tokens)
    strict = bench.checks(grants)
    bounded = [pb.VerifyTokenRequest(token=each.access_token, max_staleness=_BOUND) for each in grants]
    return strict, strict, bench.generator.requests([Request(each) for each in bounded])


def _few(bench: Bench, load: Load) -> Result:
    return bench.generator.run(replace(load, in_flight=_FEW_IN_FLIGHT, calls=0, seconds=bench.scale.seconds))


def _engine(engine: Engine, taken: Sequence[Taken], few: Sequence[Result]) -> Iterator[Figure]:
    prefix, (strict_bar, memory_bar) = PREFIXES[engine], _OVER_EMPTY[engine]
    for place, name in enumerate(("empty_handler", "verify_token")):
        yield from method_figures(prefix + name, [each[place] for each in taken], few[place])
    yield figure(
        f"{prefix}verify_over_empty",
        [strict.cpu_us / empty.cpu_us for empty, strict, _ in taken],
        must=strict_bar,
        note=f"CPU per VerifyToken ÷ per call of an empty handler, {engine.value}",
    )
    yield figure(
        f"{prefix}near_cache_over_empty",
        [known.cpu_us / empty.cpu_us for empty, _, known in taken],
        must=memory_bar,
        note=f"CPU per VerifyToken from memory ÷ per call of an empty handler, {engine.value}",
    )
    if engine is DEFAULT:
        yield figure(
            "near_cache_over_verify",
            [known.cpu_us / strict.cpu_us for _, strict, known in taken],
            must=_MEMORY_OVER_STRICT,
            note="CPU per VerifyToken from memory ÷ per strict one",
        )
