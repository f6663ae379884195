"""The other ways to ask for a check: REST, forward-auth, ext_authz, TLS, and through a gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.bench import Bench, Store
from benchmarks.certificate import make_certificate
from benchmarks.engines import DEFAULT
from benchmarks.figures import Figure, alternate, figure
from benchmarks.gateway import GUARDED, UNGUARDED, gateway
from benchmarks.load import Load, Request
from benchmarks.population import create_sessions
from benchmarks.processes import SERVICE, Server, server
from session_service.domain.models import TokenGrant
from session_service.rpc.envoy_auth import external_auth_pb2 as auth

_VERIFY_PATH: Final = "/v1/token:verify"
_CHECK: Final = "/envoy.service.auth.v3.Authorization/Check"
_FORWARD_AUTH: Final = "/authz"
_FEW_IN_FLIGHT: Final = 8
# HTTP/1.1 has one call at a time on a connection: as many as there are calls, which gateways keep open.
_HTTP1_CONNECTIONS: Final = 64


def measure_ways(bench: Bench) -> Iterator[Figure]:
    """All figures, on the default engine over one Redis."""
    with bench.store("ways") as store, server(SERVICE, store.config, engine=DEFAULT) as service:
        yield from _asked_otherwise(bench, store, service)
        yield from _encrypted(bench, store, service)
        yield from _through_a_gateway(bench, store, service)


def _asked_otherwise(bench: Bench, store: Store, service: Server) -> Iterator[Figure]:
    """REST over both versions of HTTP, and what gateways ask, against VerifyToken by gRPC."""
    bench.say("VerifyToken by gRPC and by REST, forward-auth and Check in turn")
    # Fresh, here and below: a check of a session that is a minute old also records its activity.
    grants = _grants(bench, store)
    grpc = Load(service, "VerifyToken", bench.checks(grants), calls=2 * bench.scale.calls)
    rest = replace(grpc, method=_VERIFY_PATH, http="POST", requests=_bodies(bench, grants))
    http1 = replace(rest, http1=True, connections=_HTTP1_CONNECTIONS)
    forward = replace(http1, method=_FORWARD_AUTH, http="GET", requests=_bearers(bench, grants))
    check = replace(grpc, method=_CHECK, requests=_questions(bench, grants))
    run = bench.generator.run
    loads = (grpc, rest, http1, forward, check)
    rounds = alternate(bench.scale.rounds, *(lambda load=each: run(load) for each in loads))
    for place, (name, must, note) in enumerate(
        (
            ("rest_verify_over_grpc", 2.0, "CPU per VerifyToken by REST over HTTP/2 ÷ by gRPC"),
            ("rest_http1_verify_over_grpc", None, "the same over HTTP/1.1, connections kept open"),
            ("authz_over_grpc", 1.3, "CPU per forward-auth over HTTP/1.1, kept open, ÷ per VerifyToken"),
            ("check_over_verify", 1.3, "CPU per ext_authz Check ÷ per VerifyToken"),
        ),
        start=1,
    ):
        yield figure(name, [each[place].cpu_us / each[0].cpu_us for each in rounds], must=must, note=note)


def _encrypted(bench: Bench, store: Store, service: Server) -> Iterator[Figure]:
    """TLS on connections that stay open."""
    bench.say("VerifyToken in plain text and over TLS in turn")
    made = make_certificate(bench.directory)
    config = store.with_server(tls={"cert_file": str(made.certificate), "key_file": str(made.key)})
    run = bench.generator.run
    with server(SERVICE, config, engine=DEFAULT) as encrypting:
        requests = bench.checks(_grants(bench, store))
        plain = Load(service, "VerifyToken", requests, calls=2 * bench.scale.calls)
        tls = replace(plain, server=encrypting, certificate=made.certificate)
        pairs = alternate(bench.scale.rounds, lambda: run(plain), lambda: run(tls))
    yield figure(
        "tls_verify_over_plain",
        [tls.cpu_us / plain.cpu_us for plain, tls in pairs],
        note="CPU per VerifyToken over TLS 1.3 ÷ in plain text",
    )


def _through_a_gateway(bench: Bench, store: Store, service: Server) -> Iterator[Figure]:
    """What asking adds to a request through a gateway."""
    bench.say("a guarded and an unguarded route through a gateway in turn")
    requests = _bearers(bench, _grants(bench, store))
    with gateway(service, bench.directory / "gateway") as envoy:
        guarded = Load(
            envoy, GUARDED, requests, in_flight=_FEW_IN_FLIGHT, seconds=bench.scale.seconds / 2, http="GET"
        )
        unguarded = replace(guarded, method=UNGUARDED)
        run = bench.generator.run
        pairs = alternate(bench.scale.rounds, lambda: run(unguarded), lambda: run(guarded))
    for name, latencies in (
        ("p50", [(free.p50_us, asked.p50_us) for free, asked in pairs]),
        ("p99", [(free.p99_us, asked.p99_us) for free, asked in pairs]),
    ):
        yield figure(
            f"gateway_added_ms_{name}",
            [(asked - free) / 1000 for free, asked in latencies],
            note=f"{name} of a guarded route through a gateway less that of an unguarded one",
        )


def _grants(bench: Bench, store: Store) -> Sequence[TokenGrant]:
    return create_sessions(store.config, bench.scale.tokens, granted=bench.scale.tokens)


def _bearers(bench: Bench, grants: Sequence[TokenGrant]) -> Path:
    """Requests without a body that carry these access tokens."""
    return bench.generator.requests([Request(b"", each.access_token) for each in grants])


def _questions(bench: Bench, grants: Sequence[TokenGrant]) -> Path:
    """What an Envoy asks of requests with these access tokens."""
    return bench.generator.requests([Request(_question(each.access_token)) for each in grants])


def _question(access_token: str) -> auth.CheckRequest:
    http = auth.AttributeContext.HttpRequest(path=GUARDED)
    http.headers["authorization"] = f"Bearer {access_token}"
    return auth.CheckRequest(
        attributes=auth.AttributeContext(request=auth.AttributeContext.Request(http=http))
    )


def _bodies(bench: Bench, grants: Sequence[TokenGrant]) -> Path:
    """Requests that check these access tokens by REST."""
    bodies = [json.dumps({"token": each.access_token}).encode() for each in grants]
    return bench.generator.requests([Request(body) for body in bodies])
