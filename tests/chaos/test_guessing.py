"""Guessing passwords: slowed down wherever it comes from, without keeping the owner out."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc
import pytest
from session_api.v1 import admin_service_pb2 as admin_pb
from session_api.v1 import session_pb2
from session_api.v1 import session_service_pb2 as pb

from tests.support import RedisServer, eventually_async
from tests.support.errors import fails
from tests.support.in_process import PASSWORD, ServiceUnderTest, bearer, patient_with
from tests.support.outcomes import OK, outcome

Serve: TypeAlias = Callable[..., Awaitable[ServiceUnderTest]]
LIMIT = 4
WRONG, STOPPED = "INVALID_CREDENTIALS", "TOO_MANY_ATTEMPTS"
POLICY = {"per_account_and_address": LIMIT, "per_address": 1000, "per_account": 1000, "window": 600}
PROXIED = {"trusted_proxies": ["127.0.0.0/8"]}
PHONE = session_pb2.DeviceInfo(device_id="phone")
GUESSER, HOME = "203.0.113.9", "198.51.100.7"


@pytest.fixture
async def service(one_redis: RedisServer, serve: Serve) -> ServiceUnderTest:
    """A service that lets few guesses through, behind a proxy that says where callers are."""
    service = await serve(patient_with(one_redis), throttling=POLICY, server=PROXIED)
    await service.add_user()
    return service


def attempt(
    service: ServiceUnderTest,
    password: str,
    username: str = "ada",
    address: str = GUESSER,
    device: session_pb2.DeviceInfo | None = None,
) -> Awaitable[pb.LoginResponse]:
    """Try to log in from an address."""
    request = pb.LoginRequest(username=username, password=password, device=device)
    return service.sessions.Login(request, metadata=(("x-forwarded-for", address),))


async def guesses(service: ServiceUnderTest, count: int, **where: Any) -> list[str]:
    """The outcomes of so many wrong passwords, one after the other."""
    return [await outcome(attempt(service, f"wrong-{number}", **where)) for number in range(count)]


async def test_a_guesser_is_stopped_and_told_when_to_come_back(service: ServiceUnderTest) -> None:
    """After the limit even the right password is not looked at; the answer says how long to wait."""
    assert await guesses(service, LIMIT + 2) == [WRONG] * LIMIT + [STOPPED] * 2
    with fails(grpc.StatusCode.RESOURCE_EXHAUSTED, STOPPED) as stopped:
        await attempt(service, PASSWORD)
    assert stopped.retry_seconds is not None
    assert 0 < stopped.retry_seconds <= POLICY["window"]


async def test_an_unknown_user_looks_like_a_known_one(service: ServiceUnderTest) -> None:
    """Known, unknown and disabled: the same answers at the same attempts, one hash for each attempt."""
    request = admin_pb.SetUserDisabledRequest(user_id=await service.add_user("eve"), disabled=True)
    await service.admin_stub.SetUserDisabled(request, metadata=service.admin)
    told = []
    for name in ("ada", "nobody", "eve"):
        before = _hashed(service)
        told.append((await guesses(service, LIMIT + 2, username=name), _hashed(service) - before))
    assert told == [([WRONG] * LIMIT + [STOPPED] * 2, LIMIT)] * 3


async def test_the_owner_gets_in_from_elsewhere(service: ServiceUnderTest) -> None:
    """While the guesser is stopped the owner logs in from his own address."""
    await guesses(service, LIMIT + 1)
    await attempt(service, PASSWORD, address=HOME)
    assert await outcome(attempt(service, PASSWORD)) == STOPPED


async def test_the_owner_gets_in_on_a_device_of_his(one_redis: RedisServer, serve: Serve) -> None:
    """However many addresses guess, a device that has logged in before is let in; a new one has to wait."""
    service = await serve(patient_with(one_redis), throttling=POLICY | {"per_account": LIMIT}, server=PROXIED)
    await service.add_user()
    await attempt(service, PASSWORD, address=HOME, device=PHONE)
    everywhere = [
        await outcome(attempt(service, "wrong", address=f"203.0.113.{number}")) for number in range(LIMIT + 2)
    ]
    assert everywhere == [WRONG] * LIMIT + [STOPPED] * 2
    assert await outcome(attempt(service, PASSWORD, address=HOME)) == STOPPED
    await attempt(service, PASSWORD, address=HOME, device=PHONE)
    # Also from where a guesser sits, as behind the address of a company.
    await attempt(service, PASSWORD, address=GUESSER, device=PHONE)


async def test_one_address_cannot_try_many_accounts(one_redis: RedisServer, serve: Serve) -> None:
    """A password sprayed over accounts that exist or not is stopped by the address it comes from."""
    service = await serve(patient_with(one_redis), throttling=POLICY | {"per_address": LIMIT}, server=PROXIED)
    sprayed = [
        await outcome(attempt(service, "wrong", username=f"user-{number}")) for number in range(LIMIT + 1)
    ]
    assert sprayed == [WRONG] * LIMIT + [STOPPED]
    assert await outcome(attempt(service, "wrong", address=HOME)) == WRONG


@pytest.mark.parametrize(
    "name", ["x-forwarded-for", "x-envoy-external-address", "x-real-ip", "forwarded", "true-client-ip"]
)
async def test_nobody_says_for_himself_where_he_is(one_redis: RedisServer, serve: Serve, name: str) -> None:
    """Unless a proxy is trusted, a caller is one address for throttling whatever he writes of himself."""
    service = await serve(patient_with(one_redis), throttling=POLICY | {"per_address": LIMIT})
    told = []
    for number in range(LIMIT + 1):
        request = pb.LoginRequest(username=f"user-{number}", password="wrong")
        metadata = ((name, f"203.0.113.{number}"), (name, f"198.51.100.{number}"))
        told.append(await outcome(service.sessions.Login(request, metadata=metadata)))
    assert told == [WRONG] * LIMIT + [STOPPED]


async def test_only_the_last_hop_before_a_proxy_counts(one_redis: RedisServer, serve: Serve) -> None:
    """Behind a trusted proxy, what a caller had written before the proxy added to it changes nothing."""
    service = await serve(patient_with(one_redis), throttling=POLICY | {"per_address": LIMIT}, server=PROXIED)
    told = [
        await outcome(
            attempt(service, "wrong", username=f"user-{number}", address=f"192.0.2.{number}, {GUESSER}")
        )
        for number in range(LIMIT + 1)
    ]
    assert told == [WRONG] * LIMIT + [STOPPED]


@pytest.mark.parametrize("username", ["ada", "nobody"])
async def test_guessing_at_once_gains_nothing(one_redis: RedisServer, serve: Serve, username: str) -> None:
    """50 guesses at once on two servers: as many passwords are looked at as one after the other."""
    services = [await serve(patient_with(one_redis), throttling=POLICY, server=PROXIED) for _ in range(2)]
    await services[0].add_user()
    before = sum(map(_hashed, services))
    at_once = [outcome(attempt(services[n % 2], f"wrong-{n}", username=username)) for n in range(50)]
    assert Counter(await asyncio.gather(*at_once)) == {WRONG: LIMIT, STOPPED: 50 - LIMIT}
    assert sum(map(_hashed, services)) - before == LIMIT


async def test_the_right_password_gives_attempts_back(service: ServiceUnderTest) -> None:
    """Who mistypes and then gets it right starts afresh, as often as he likes."""
    for _ in range(3):
        assert await guesses(service, LIMIT - 1) == [WRONG] * (LIMIT - 1)
        await attempt(service, PASSWORD)


async def test_the_end_of_the_window_frees(one_redis: RedisServer, serve: Serve) -> None:
    """Nobody is kept out for good: after the window the right password lets in again."""
    service = await serve(patient_with(one_redis), throttling=POLICY | {"window": 1})
    await service.add_user()

    async def answers(password: str, expected: str) -> bool:
        return await outcome(attempt(service, password)) == expected

    await eventually_async(lambda: answers("wrong", STOPPED), timeout=20)
    await eventually_async(lambda: answers(PASSWORD, OK), timeout=20)


async def test_a_current_password_cannot_be_guessed_either(service: ServiceUnderTest) -> None:
    """Who has got hold of a session cannot find out the password by changing it."""
    caller = bearer((await attempt(service, PASSWORD, address=HOME)).access_token)
    changes = [
        await outcome(
            service.sessions.ChangePassword(
                pb.ChangePasswordRequest(current_password=guess, new_password="a new password"),
                metadata=caller,
            )
        )
        for guess in [*map(str, range(LIMIT + 1)), PASSWORD]
    ]
    assert changes == [WRONG] * LIMIT + [STOPPED] * 2


def _hashed(service: ServiceUnderTest) -> float:
    return service.registry.get_sample_value("session_hashing_seconds_count") or 0
