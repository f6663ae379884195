"""Checks that cost less than a strict call each: answered from memory, and many at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from google.protobuf.duration_pb2 import Duration
from session_api.v1 import session_service_pb2 as pb

from benchmarks.bench import Bench
from benchmarks.figures import Figure, alternate, figure
from benchmarks.load import Load, Request
from benchmarks.population import create_sessions
from benchmarks.processes import EMPTY_ENVOY, EMPTY_HANDLER, SERVICE, server
from session_service.config.sections import Engine
from session_service.domain.models import TokenGrant

_BOUND: Final = Duration(seconds=1)
_BATCH: Final = 256
# Of each engine's own baseline: the same transport, and a handler that does nothing.
_ENGINES: Final = (("", Engine.GRPC_AIO, EMPTY_HANDLER), ("envoy_", Engine.ENVOY, EMPTY_ENVOY))


def measure_cheap_checks(bench: Bench) -> Iterator[Figure]:
    """All figures, on both engines, over one Redis."""
    with bench.store("cheap") as store:
        for prefix, engine, baseline in _ENGINES:
            with (
                server(baseline, store.config) as empty,
                server(SERVICE, store.config, engine=engine) as service,
            ):
                bench.say(f"VerifyToken from memory and the empty handler in turn, {engine.value}")
                scale, run = bench.scale, bench.generator.run
                grants = create_sessions(store.config, scale.tokens, granted=scale.tokens)
                known = Load(service, "VerifyToken", _bounded(bench, grants), calls=6 * scale.calls)
                nothing = replace(known, server=empty)
                run(known)  # each token has been asked for once
                pairs = alternate(scale.rounds, lambda: run(nothing), lambda: run(known))  # noqa: B023 - at once
                yield figure(
                    f"{prefix}near_cache_over_empty",
                    [checked.cpu_us / answered.cpu_us for answered, checked in pairs],
                    must=1.15,
                    note=f"CPU per VerifyToken from memory ÷ per call of an empty handler, {engine.value}",
                )


def _bounded(bench: Bench, grants: Sequence[TokenGrant]) -> Path:
    return bench.generator.requests(
        [Request(pb.VerifyTokenRequest(token=each.access_token, max_staleness=_BOUND)) for each in grants]
    )


def _batches(bench: Bench, grants: Sequence[TokenGrant]) -> Path:
    tokens = [each.access_token for each in grants]
    batches = [tokens[at : at + _BATCH] for at in range(0, len(tokens) - _BATCH + 1, _BATCH)]
    requests = [pb.BatchVerifyTokensRequest(tokens=each) for each in batches]
    return bench.generator.requests([Request(each) for each in requests])
