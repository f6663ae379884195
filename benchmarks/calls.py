"""What calls cost: CPU per call against an empty handler, latency, throughput, a storm of logins."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from session_api.v1 import session_pb2
from session_api.v1 import session_service_pb2 as pb

from benchmarks.bench import Bench, Store
from benchmarks.figures import Figure, alternate, figure
from benchmarks.load import Load, Request, Result
from benchmarks.population import PASSWORD, create_sessions, create_users, typical_device
from benchmarks.processes import EMPTY_HANDLER, SERVICE, Server, server

_LISTED: Final = 10
_FEW_IN_FLIGHT: Final = 8
_STORM: Final = 50
_STORM_RISES: Final = 0.5


def measure_calls(bench: Bench) -> Iterator[Figure]:
    """All figures of calls, over one Redis."""
    with (
        bench.store("calls") as store,
        server(EMPTY_HANDLER, store.config) as empty,
        server(SERVICE, store.config) as service,
    ):
        yield from _checks(bench, store, empty, service)
        logins = _logins(bench, store, service)
        yield from _other_methods(bench, store, logins)
        yield from _storm(bench, store, logins)
        yield from _workers(bench, store, service)


def _checks(bench: Bench, store: Store, empty: Server, service: Server) -> Iterator[Figure]:
    """VerifyToken against the empty handler.

    Done before the sessions are a minute old, from when on a check in a minute also notes activity.
    """
    bench.say("VerifyToken and the empty handler in turn")
    scale = bench.scale
    requests = bench.checks(create_sessions(store.config, scale.tokens, granted=scale.tokens))
    check = Load(service, "VerifyToken", requests, calls=scale.calls)
    nothing = replace(check, server=empty)
    run = bench.generator.run
    pairs = alternate(scale.rounds, lambda: run(nothing), lambda: run(check))
    yield figure(
        "verify_cpu_ratio",
        [checked.cpu_us / answered.cpu_us for answered, checked in pairs],
        must=1.25,
        note="CPU per VerifyToken ÷ per call of an empty handler",
    )
    for name, load, place in (("empty_handler", nothing, 0), ("verify_token", check, 1)):
        few = replace(load, in_flight=_FEW_IN_FLIGHT, calls=0, seconds=scale.seconds)
        yield from _method(name, [pair[place] for pair in pairs], run(few))


def _other_methods(bench: Bench, store: Store, logins: Load) -> Iterator[Figure]:
    scale, service = bench.scale, logins.server
    bench.say("ListSessions")
    listed = create_sessions(store.config, scale.tokens, per_user=_LISTED, granted=scale.tokens // _LISTED)
    lists = [Request(pb.ListSessionsRequest(), each.access_token) for each in listed]
    yield from _alone(bench, "list_sessions", Load(service, "ListSessions", bench.generator.requests(lists)))
    bench.say("RefreshToken")
    grants = create_sessions(store.config, scale.tokens, granted=scale.tokens)
    refreshes = [Request(pb.RefreshTokenRequest(refresh_token=each.refresh_token)) for each in grants]
    yield from _once_each(bench, "refresh_token", service, "RefreshToken", refreshes)
    bench.say("Logout")
    logouts = [Request(pb.LogoutRequest(), each.access_token) for each in grants]
    yield from _once_each(bench, "logout", service, "Logout", logouts)
    bench.say("Login")
    yield from _alone(bench, "login", logins)


def _alone(bench: Bench, name: str, load: Load) -> Iterator[Figure]:
    """A method whose requests can be repeated."""
    run = bench.generator.run
    load = replace(load, seconds=bench.scale.seconds)
    few = replace(load, in_flight=_FEW_IN_FLIGHT)
    yield from _method(name, [run(load)], run(few))


def _once_each(
    bench: Bench, name: str, service: Server, method: str, requests: list[Request]
) -> Iterator[Figure]:
    """A method that uses its request up: four of five are called at saturation, the rest by few."""
    cut = len(requests) * 4 // 5
    many, rest = (bench.generator.requests(part) for part in (requests[:cut], requests[cut:]))
    saturating = Load(service, method, many, calls=cut)
    few = Load(service, method, rest, calls=len(requests) - cut, in_flight=_FEW_IN_FLIGHT)
    yield from _method(name, [bench.generator.run(saturating)], bench.generator.run(few))


def _method(name: str, saturated: list[Result], few: Result) -> Iterator[Figure]:
    """The figures of a method."""
    yield figure(f"{name}_cpu_us", [each.cpu_us for each in saturated])
    yield figure(f"{name}_per_second", [each.rate for each in saturated])
    yield figure(f"{name}_p50_ms", [few.p50_us / 1000])
    yield figure(f"{name}_p99_ms", [few.p99_us / 1000])
    yield figure(f"{name}_failed", [sum(each.failed for each in (*saturated, few))])


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
    with server(SERVICE, store.config, workers=2) as two_workers:
        two = replace(one, server=two_workers)
        pairs = alternate(max(1, scale.rounds // 2), lambda: run(one), lambda: run(two))
    cores = len(os.sched_getaffinity(0))
    yield figure(
        "workers_2_ratio",
        [two_result.rate / one_result.rate for one_result, two_result in pairs],
        note=f"throughput of two workers ÷ of one, on {cores} cores with Redis and the load",
    )


def _logins(bench: Bench, store: Store, service: Server) -> Load:
    """Logins of many users, each from a device of his own."""
    names = create_users(store.config, bench.scale.logins)
    requests = [Request(_login(name, number)) for number, name in enumerate(names)]
    return Load(service, "Login", bench.generator.requests(requests))


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
