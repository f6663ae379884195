"""The Envoy engine: what a check costs there, by gRPC, by REST and for a gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.bench import Bench
from benchmarks.figures import Figure, alternate, figure
from benchmarks.gateway import GUARDED, UNGUARDED, gateway
from benchmarks.load import Load, Request, Result
from benchmarks.population import create_sessions
from benchmarks.processes import EMPTY_ENVOY, EMPTY_HANDLER, SERVICE, Server, server
from session_service.config.sections import Engine
from session_service.domain.models import TokenGrant
from session_service.rpc.envoy_auth import external_auth_pb2 as auth

_VERIFY_PATH: Final = "/v1/token:verify"
_CHECK: Final = "/envoy.service.auth.v3.Authorization/Check"
_FEW_IN_FLIGHT: Final = 8


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
        bench.say("VerifyToken by gRPC and by REST, and the question of a gateway, in turn")
        grants = create_sessions(store.config, scale.tokens, granted=scale.tokens)
        grpc = replace(verify, requests=bench.checks(grants))
        rest = replace(grpc, method=_VERIFY_PATH, http="POST", requests=_rest_checks(bench, grants))
        check = replace(grpc, method=_CHECK, requests=_questions(bench, grants))
        rounds = alternate(scale.rounds, lambda: run(grpc), lambda: run(rest), lambda: run(check))
        yield from _ways(rounds)
        bench.say("a guarded and an unguarded route through a gateway in turn")
        with gateway(service, bench.directory / "gateway") as envoy:
            yield from _gateway(bench, envoy, grants)


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


def _ways(rounds: Sequence[tuple[Result, ...]]) -> Iterator[Figure]:
    yield figure(
        "rest_verify_over_grpc",
        [rest.cpu_us / grpc.cpu_us for grpc, rest, _ in rounds],
        must=2.0,
        note="CPU per VerifyToken by REST ÷ by gRPC, Envoy engine",
    )
    yield figure(
        "check_over_verify",
        [check.cpu_us / grpc.cpu_us for grpc, _, check in rounds],
        must=1.4,
        note="CPU per ext_authz Check ÷ per VerifyToken, Envoy engine",
    )


def _gateway(bench: Bench, envoy: Server, grants: Sequence[TokenGrant]) -> Iterator[Figure]:
    """What asking adds to a request through a gateway."""
    requests = bench.generator.requests([Request(b"", each.access_token) for each in grants])
    guarded = Load(
        envoy, GUARDED, requests, in_flight=_FEW_IN_FLIGHT, seconds=bench.scale.seconds / 2, http="GET"
    )
    run = bench.generator.run
    pairs = alternate(
        bench.scale.rounds, lambda: run(replace(guarded, method=UNGUARDED)), lambda: run(guarded)
    )
    for name, latencies in (
        ("p50", [(free.p50_us, asked.p50_us) for free, asked in pairs]),
        ("p99", [(free.p99_us, asked.p99_us) for free, asked in pairs]),
    ):
        yield figure(
            f"gateway_added_ms_{name}",
            [(asked - free) / 1000 for free, asked in latencies],
            note=f"{name} of a guarded route through a gateway less that of an unguarded one",
        )


def _questions(bench: Bench, grants: Sequence[TokenGrant]) -> Path:
    """What an Envoy asks of requests with these access tokens."""
    return bench.generator.requests([Request(_question(each.access_token)) for each in grants])


def _question(access_token: str) -> auth.CheckRequest:
    http = auth.AttributeContext.HttpRequest(path=GUARDED)
    http.headers["authorization"] = f"Bearer {access_token}"
    return auth.CheckRequest(
        attributes=auth.AttributeContext(request=auth.AttributeContext.Request(http=http))
    )


def _rest_checks(bench: Bench, grants: Sequence[TokenGrant]) -> Path:
    """Requests that check these access tokens by REST."""
    bodies = [json.dumps({"token": each.access_token}).encode() for each in grants]
    return bench.generator.requests([Request(body) for body in bodies])
