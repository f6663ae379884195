"""Two servers, one user, and everything at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import redis
from session_api.v1 import admin_service_pb2 as admin_pb

from tests.support.cut_off import settle
from tests.support.in_process import ServiceUnderTest
from tests.support.outcomes import OK, outcome
from tests.support.redis_contents import counted, live_sessions

ServeTwo: TypeAlias = Callable[..., Awaitable[tuple[ServiceUnderTest, ServiceUnderTest]]]
NO_LIMIT: dict[str, int] = dict.fromkeys(("per_account_and_address", "per_address", "per_account"), 10**6)
ROUNDS = LOGINS = 5


async def test_many_tabs_get_one_successor(serve_two: ServeTwo, store: redis.Redis) -> None:
    """50 refreshes of one token on two servers are one rotation; each tab can go on with what it got."""
    services = await serve_two(session={"refresh_grace": 600})
    for generation in range(3):
        opened = await services[0].open_session()
        tabs = [services[number % 2].refresh(opened.refresh_token) for number in range(50)]
        answers = await asyncio.gather(*tabs)
        assert len({(each.access_token, each.refresh_token) for each in answers}) == 1
        await services[1].verify(answers[0].access_token)
        await services[1].refresh(answers[0].refresh_token)
        await settle(services[0], store)
        await settle(services[1], store)
        assert counted(store)["refresh"] == 2 * (generation + 1)
        assert counted(store)["refresh_reused"] == 0


async def test_a_thief_among_many_tabs_ends_the_session_once(serve_two: ServeTwo, store: redis.Redis) -> None:
    """A spent token that comes back on two servers at once ends its session, and one event says so."""
    services = await serve_two(session={"refresh_grace": 0})
    opened = await services[0].open_session()
    latest = await services[0].refresh(opened.refresh_token)
    await services[0].refresh(latest.refresh_token)
    stolen = [outcome(services[number % 2].refresh(opened.refresh_token)) for number in range(20)]
    answers = await asyncio.gather(*stolen)
    assert sorted(answers) == ["REFRESH_TOKEN_INVALID"] * 19 + ["REFRESH_TOKEN_REUSED"]
    assert await outcome(services[1].verify(latest.access_token)) == "SESSION_ENDED"
    await settle(services[0], store)
    await settle(services[1], store)
    assert counted(store)["refresh_reused"] == 1


async def test_who_is_disabled_is_out_whatever_he_does(serve_two: ServeTwo, store: redis.Redis) -> None:
    """Logins, refreshes and trusted logins race with SetUserDisabled; after its OK nothing of his lives."""
    services = await serve_two(throttling=NO_LIMIT)
    for number in range(ROUNDS):
        name = f"user-{number}"
        user_id = await services[0].add_user(name)
        session = await services[0].login(name)
        racing: list[Awaitable[Any]] = [services[each % 2].login(name) for each in range(LOGINS)]
        racing += [services[each % 2].open_session(user_id) for each in range(LOGINS)]
        racing += [services[each % 2].refresh(session.refresh_token) for each in range(LOGINS)]
        request = admin_pb.SetUserDisabledRequest(user_id=user_id, disabled=True)
        disabling = services[1].admin_stub.SetUserDisabled(request, metadata=services[1].admin)
        outcomes = await _amid(racing, number, disabling)
        assert outcomes <= {OK, "INVALID_CREDENTIALS", "REFRESH_TOKEN_INVALID"}
        assert not live_sessions(store)


async def test_an_old_password_lets_nobody_in_any_more(serve_two: ServeTwo, store: redis.Redis) -> None:
    """Logins race with SetPassword; after its OK no session lives that the old password began."""
    services = await serve_two(throttling=NO_LIMIT)
    for number in range(ROUNDS):
        name = f"user-{number}"
        user_id = await services[0].add_user(name)
        racing = [services[each % 2].login(name) for each in range(LOGINS)]
        request = admin_pb.SetPasswordRequest(user_id=user_id, password="another horse's battery")
        setting = services[1].admin_stub.SetPassword(request, metadata=services[1].admin)
        assert await _amid(racing, number, setting) <= {OK, "INVALID_CREDENTIALS"}
        assert not live_sessions(store)


async def test_roles_reach_every_session(serve_two: ServeTwo) -> None:
    """Logins race with SetUserRoles; after its OK each session of the user has the new roles."""
    services = await serve_two(throttling=NO_LIMIT)
    for number in range(ROUNDS):
        name = f"user-{number}"
        user_id = await services[0].add_user(name, roles=("old",))
        logins: list[asyncio.Task[Any]] = [
            asyncio.create_task(services[each % 2].login(name)) for each in range(LOGINS)
        ]
        logins += [asyncio.create_task(services[each % 2].open_session(user_id)) for each in range(LOGINS)]
        request = admin_pb.SetUserRolesRequest(user_id=user_id, roles=["new"])
        setting = services[1].admin_stub.SetUserRoles(request, metadata=services[1].admin)
        assert await _amid(logins, number, setting) == {OK}
        for login in logins:
            assert list((await services[0].verify(login.result().access_token)).roles) == ["new"]


async def _amid(others: Sequence[Awaitable[Any]], ended: int, change: Awaitable[Any]) -> set[str]:
    """Make the change, which must succeed, once so many of the others have ended; what these came to."""
    running = [asyncio.ensure_future(outcome(each)) for each in others]
    while sum(each.done() for each in running) < ended:
        await asyncio.wait([each for each in running if not each.done()], return_when="FIRST_COMPLETED")
    assert await outcome(change) == OK
    return set(await asyncio.gather(*running))
