"""The Envoy engine: what a check costs there, by gRPC, by REST and for a gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.bench import Bench
from benchmarks.figures import Figure, alternate, figure
from benchmarks.load import Load, Request, Result
from benchmarks.population import create_sessions
from benchmarks.processes import EMPTY_ENVOY, EMPTY_HANDLER, SERVICE, server
from session_service.config.sections import Engine
from session_service.domain.models import TokenGrant

_VERIFY_PATH: Final = "/v1/token:verify"


def measure_envoy(bench: Bench) -> Iterator[Figure]:
    """All figures of the Envoy engine, over one Redis."""
    with (
        bench.store("envoy") as store,
        server(EMPTY_HANDLER, store.config) as grpc_aio,
        server(EMPTY_ENVOY, store.config) as empty,
        server(SERVICE, store.config, engine=Engine.ENVOY) as service,
    ):
        bench.say("VerifyToken on the Envoy engine, and the empty handlers of both engines, in turn")
        scale, run = bench.scale, bench.generator.run
        # Fresh: a check of a session that is a minute old also notes its activity.
        grants = create_sessions(store.config, scale.tokens, granted=scale.tokens)
        verify = Load(service, "VerifyToken", bench.checks(grants), calls=2 * scale.calls)
        rounds = alternate(
            scale.rounds,
            lambda: run(replace(verify, server=grpc_aio, calls=scale.calls)),
            lambda: run(replace(verify, server=empty)),
            lambda: run(verify),
        )
        yield from _engines(rounds)
        bench.say("REST and gRPC in turn")
        grants = create_sessions(store.config, scale.tokens, granted=scale.tokens)
        grpc = replace(verify, requests=bench.checks(grants))
        rest = replace(grpc, method=_VERIFY_PATH, http="POST", requests=_rest_checks(bench, grants))
        pairs = alternate(scale.rounds, lambda: run(grpc), lambda: run(rest))
        yield figure(
            "rest_verify_over_grpc",
            [by_rest.cpu_us / by_grpc.cpu_us for by_grpc, by_rest in pairs],
            must=2.0,
            note="CPU per check by REST ÷ by gRPC, Envoy engine",
        )


def _engines(rounds: Sequence[tuple[Result, ...]]) -> Iterator[Figure]:
    yield figure("grpc_aio_empty_cpu_us", [each.cpu_us for each, _, _ in rounds])
    yield figure("envoy_empty_cpu_us", [each.cpu_us for _, each, _ in rounds])
    yield figure("envoy_verify_cpu_us", [each.cpu_us for _, _, each in rounds])
    yield figure("envoy_verify_per_second", [each.rate for _, _, each in rounds])
    yield figure(
        "envoy_verify_cpu_ratio",
        [checked.cpu_us / empty.cpu_us for empty, _, checked in rounds],
        must=0.40,
        note="CPU per VerifyToken, all processes, Envoy engine ÷ per call of grpc.aio's empty handler",
    )
    yield figure(
        "envoy_verify_over_empty",
        [checked.cpu_us / empty.cpu_us for _, empty, checked in rounds],
        must=1.5,
        note="the same ÷ per call of an empty handler on the Envoy engine",
    )


def _rest_checks(bench: Bench, grants: Sequence[TokenGrant]) -> Path:
    """Requests that check these access tokens by REST."""
    bodies = [json.dumps({"token": each.access_token}).encode() for each in grants]
    return bench.generator.requests([Request(body) for body in bodies])
