"""What other calls cost: each on the default engine and on ``grpc.aio``, a storm of logins, two workers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from session_api.v1 import session_pb2
from session_api.v1 import session_service_pb2 as pb

from benchmarks.bench import Bench, Store
from benchmarks.cheap_passwords import CHEAP
from benchmarks.engines import DEFAULT, PREFIXES
from benchmarks.figures import Figure, alternate, figure, method_figures
from benchmarks.load import Load, Request, Result
from benchmarks.population import PASSWORD, create_sessions, create_users, typical_device
from benchmarks.processes import CHEAP_PASSWORDS, SERVICE, Server, server
from session_service.users.password_hashes import OWASP_ARGON2ID, Argon2Profile

_LISTED: Final = 10
_FEW_IN_FLIGHT: Final = 8
_STORM: Final = 50
_STORM_RISES: Final = 0.5
_OVER_GRPC_AIO: Final = 0.8

MakeLoad = Callable[[Server], Load]
"""Makes the next load for a server; of a method that uses requests up, with requests of its own."""


def measure_calls(bench: Bench) -> Iterator[Figure]:
    """All figures of calls that are no checks, over one Redis."""
    with bench.store("calls") as store:
        with ExitStack() as stack:
            servers = [
                stack.enter_context(server(SERVICE, store.config, engine=engine)) for engine in PREFIXES
            ]
            yield from _lists(bench, store, servers)
            yield from _refreshes_and_logouts(bench, store, servers)
            logins = _logins(bench, store, servers[0], OWASP_ARGON2ID)
            bench.say("Login")
            few = replace(logins, in_flight=_FEW_IN_FLIGHT)
            yield from method_figures("login", [bench.generator.run(logins)], bench.generator.run(few))
            yield from _storm(bench, store, logins)
            yield from _workers(bench, store, servers[0])
        yield from _logins_without_argon2(bench)


def _lists(bench: Bench, store: Store, servers: Sequence[Server]) -> Iterator[Figure]:
    scale = bench.scale
    bench.say("ListSessions on each engine in turn")
    listed = create_sessions(store.config, scale.tokens, per_user=_LISTED, granted=scale.tokens // _LISTED)
    requests = bench.generator.requests(
        [Request(pb.ListSessionsRequest(), each.access_token) for each in listed]
    )
    calls = scale.calls // 4

    def many(service: Server) -> Load:
        return Load(service, "ListSessions", requests, calls=calls)

    rounds = _in_turn(bench, many, servers)
    few = _few(bench, lambda service: replace(many(service), calls=0, seconds=scale.seconds), servers)
    yield from _compared("list_sessions", rounds, few)


def _refreshes_and_logouts(bench: Bench, store: Store, servers: Sequence[Server]) -> Iterator[Figure]:
    bench.say("RefreshToken on each engine in turn")
    grants = create_sessions(store.config, bench.scale.tokens, granted=bench.scale.tokens)
    refreshes = [Request(pb.RefreshTokenRequest(refresh_token=each.refresh_token)) for each in grants]
    yield from _once_each(bench, "refresh_token", "RefreshToken", refreshes, servers)
    bench.say("Logout on each engine in turn")
    logouts = [Request(pb.LogoutRequest(), each.access_token) for each in grants]
    yield from _once_each(bench, "logout", "Logout", logouts, servers)


def _once_each(
    bench: Bench, name: str, method: str, requests: Sequence[Request], servers: Sequence[Server]
) -> Iterator[Figure]:
    """A method that uses its requests up: each load has a part of its own."""
    loads = len(servers) * (bench.scale.rounds + 2)  # one round does not count, one has few in flight
    size = len(requests) // loads
    parts = iter([requests[at : at + size] for at in range(0, size * loads, size)])

    def part(service: Server) -> Load:
        taken = next(parts)
        return Load(service, method, bench.generator.requests(taken), calls=len(taken))

    rounds = _in_turn(bench, part, servers)
    yield from _compared(name, rounds, _few(bench, part, servers))


def _in_turn(bench: Bench, make: MakeLoad, servers: Sequence[Server]) -> list[tuple[Result, ...]]:
    run = bench.generator.run
    return alternate(bench.scale.rounds, *(lambda to=each: run(make(to)) for each in servers))


def _few(bench: Bench, make: MakeLoad, servers: Sequence[Server]) -> list[Result]:
    return [bench.generator.run(replace(make(each), in_flight=_FEW_IN_FLIGHT)) for each in servers]


def _compared(name: str, rounds: Sequence[tuple[Result, ...]], few: Sequence[Result]) -> Iterator[Figure]:
    """A method's row for each engine, and one against the other."""
    for place, prefix in enumerate(PREFIXES.values()):
        yield from method_figures(prefix + name, [each[place] for each in rounds], few[place])
    yield _over_grpc_aio(name, rounds)


def _over_grpc_aio(name: str, rounds: Sequence[tuple[Result, ...]], note: str = "") -> Figure:
    return figure(
        f"{name}_over_grpc_aio",
        [ours.cpu_us / reference.cpu_us for ours, reference in rounds],
        must=_OVER_GRPC_AIO,
        note=f"CPU per call ÷ on grpc.aio{note}",
    )


def _logins_without_argon2(bench: Bench) -> Iterator[Figure]:
    """Logins whose passwords cost next to nothing to hash; see ``cheap_passwords``."""
    bench.say("Login with cheap passwords on each engine in turn")
    calls = bench.scale.calls // 5
    with bench.store("logins") as store, ExitStack() as stack:
        servers = [
            stack.enter_context(server(CHEAP_PASSWORDS, store.config, engine=engine)) for engine in PREFIXES
        ]
        logins = _logins(bench, store, servers[0], CHEAP)
        rounds = _in_turn(bench, lambda to: replace(logins, server=to, calls=calls), servers)
    yield _over_grpc_aio("login", rounds, ", passwords hashed by argon2id's least parameters")


def _storm(bench: Bench, store: Store, logins: Load) -> Iterator[Figure]:
    """VerifyToken while 50 logins are under way, against the same without."""
    bench.say("VerifyToken in a storm of logins")
    scale, generator = bench.scale, bench.generator
    requests = bench.checks(create_sessions(store.config, scale.tokens, granted=scale.tokens))
    checks = Load(logins.server, "VerifyToken", requests, in_flight=_FEW_IN_FLIGHT, seconds=scale.seconds)
    longer = replace(logins, in_flight=_STORM, seconds=scale.seconds + 2 * _STORM_RISES)

    def in_the_storm() -> Result:
        with generator.beside(longer) as storm:
            time.sleep(_STORM_RISES)
            result = generator.run(checks)
            storm.result()
        return result

    pairs = alternate(scale.rounds, lambda: generator.run(checks), in_the_storm)
    yield figure(
        "verify_p99_login_storm_ratio",
        [stormy.p99_us / calm.p99_us for calm, stormy in pairs],
        must=3.0,
        note=f"VerifyToken's p99 with {_STORM} logins in flight ÷ without",
    )


def _workers(bench: Bench, store: Store, service: Server) -> Iterator[Figure]:
    """Two workers on one port against one."""
    bench.say("two workers")
    scale, run = bench.scale, bench.generator.run
    requests = bench.checks(create_sessions(store.config, scale.tokens, granted=scale.tokens))
    one = Load(service, "VerifyToken", requests, connections=16, seconds=scale.seconds)
    with server(SERVICE, store.config, workers=2, engine=DEFAULT) as two_workers:
        two = replace(one, server=two_workers)
        pairs = alternate(max(1, scale.rounds // 2), lambda: run(one), lambda: run(two))
    cores = len(os.sched_getaffinity(0))
    yield figure(
        "workers_2_ratio",
        [two_result.rate / one_result.rate for one_result, two_result in pairs],
        note=f"throughput of two workers ÷ of one, on {cores} cores with Redis and the load",
    )


def _logins(bench: Bench, store: Store, service: Server, profile: Argon2Profile) -> Load:
    """Logins of many users, each from a device of their own."""
    names = create_users(store.config, bench.scale.logins, profile)
    requests = [Request(_login(name, number)) for number, name in enumerate(names)]
    return Load(service, "Login", bench.generator.requests(requests), seconds=bench.scale.seconds)


def _login(username: str, number: int) -> pb.LoginRequest:
    device = typical_device(number)
    return pb.LoginRequest(
        username=username,
        password=PASSWORD,
        device=session_pb2.DeviceInfo(
            device_id=device.device_id,
            name=device.name,
            platform=device.platform,
            user_agent=device.user_agent,
            app_version=device.app_version,
        ),
    )
