"""I7: a change whose reply was lost on the way is made once, however often it is asked for again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import redis
from session_api.v1 import admin_service_pb2 as admin_pb
from session_api.v1 import session_service_pb2 as pb

from tests.support import LOOPBACK, RedisServer, eventually_async
from tests.support.in_process import ADMIN_KEY, PASSWORD, ServiceUnderTest, bearer, patient_with
from tests.support.outcomes import OK, outcome
from tests.support.proxy import TcpProxy
from tests.support.redis_contents import counted, indexed_sessions, live_sessions
from tests.support.service_client import ServiceClient, connect
from tests.support.wire import Wire

Serve: TypeAlias = Callable[..., Awaitable[ServiceUnderTest]]
UNAVAILABLE = "STORE_UNAVAILABLE"
LIMIT = 3
NEW_PASSWORD = "another horse's battery"


async def test_a_login_is_one_login(wire: Wire, store: redis.Redis) -> None:
    """The retry under the same request id gets the session that was begun, and there is no other."""
    service = wire.service
    await service.add_user()
    assert await wire.twice("create", lambda: service.login(request_id="r-1")) == OK
    answer = await service.login(request_id="r-1")
    assert live_sessions(store) == {(answer.user.user_id, answer.session_id)}
    await service.verify(answer.access_token)
    await service.refresh(answer.refresh_token)


async def test_a_login_at_the_limit_makes_room_once(wire: Wire, store: redis.Redis) -> None:
    """The retry evicts nobody, since the first attempt has done so."""
    service = wire.service
    opened = [await service.open_session() for _ in range(LIMIT)]
    assert await wire.twice("create", lambda: service.open_session(request_id="r-1")) == OK
    spared = {("u-1", session.session_id) for session in opened[1:]}
    assert len(live_sessions(store)) == LIMIT
    assert spared < live_sessions(store) == indexed_sessions(store)


async def test_a_refresh_is_one_rotation(wire: Wire) -> None:
    """The retry with the spent token gets the successor, which works, and nobody is called a thief."""
    service = wire.service
    opened = await service.open_session()
    assert await wire.twice("rotate", lambda: service.refresh(opened.refresh_token)) == OK
    successor = await service.refresh(opened.refresh_token)
    for token in (opened.access_token, successor.access_token):
        await service.verify(token)
    await service.refresh(successor.refresh_token)


async def test_a_logout_is_done(wire: Wire, store: redis.Redis) -> None:
    """The retry says SESSION_ENDED, which is what was wanted; another session is left alone."""
    service = wire.service
    opened, other = await service.open_session(), await service.open_session()
    assert await wire.twice("end", lambda: service.logout(opened.access_token)) == "SESSION_ENDED"
    assert live_sessions(store) == {("u-1", other.session_id)}


async def test_a_logout_everywhere_is_done(wire: Wire, store: redis.Redis) -> None:
    """The caller's own session is gone too, and so the retry says SESSION_ENDED."""
    service = wire.service
    opened = [await service.open_session() for _ in range(3)]
    caller = bearer(opened[0].access_token)
    again = await wire.twice(
        "end_all", lambda: service.sessions.LogoutAll(pb.LogoutAllRequest(), metadata=caller)
    )
    assert again == "SESSION_ENDED"
    assert not live_sessions(store)


async def test_a_revocation_is_done(wire: Wire, store: redis.Redis) -> None:
    """The retry finds no such session, whoever asks."""
    service = wire.service
    caller, other, third = [await service.open_session() for _ in range(3)]
    request = pb.RevokeSessionRequest(session_id=other.session_id)
    by_operator = admin_pb.RevokeUserSessionRequest(user_id="u-1", session_id=third.session_id)
    calls: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: service.sessions.RevokeSession(request, metadata=bearer(caller.access_token)),
        lambda: service.admin_stub.RevokeUserSession(by_operator, metadata=service.admin),
    )
    for call in calls:
        assert await wire.twice("end", call) == "SESSION_NOT_FOUND"
    assert live_sessions(store) == {("u-1", caller.session_id)}


async def test_a_password_is_set(wire: Wire, store: redis.Redis) -> None:
    """The retry sets the same password again; only that one lets in, and no session is left."""
    service = wire.service
    user_id = await service.add_user()
    await service.login()
    request = admin_pb.SetPasswordRequest(user_id=user_id, password=NEW_PASSWORD)
    call = service.admin_stub.SetPassword
    assert await wire.twice("set_password", lambda: call(request, metadata=service.admin)) == OK
    assert not live_sessions(store)
    assert await outcome(service.login()) == "INVALID_CREDENTIALS"
    await service.sessions.Login(pb.LoginRequest(username="ada", password=NEW_PASSWORD))


async def test_a_user_is_disabled_and_removed(wire: Wire, store: redis.Redis) -> None:
    """Disabling twice is disabling; who was removed is not found, and the name is free."""
    service, admin = wire.service, wire.service.admin_stub
    user_id = await service.add_user()
    await service.login()
    disable = admin_pb.SetUserDisabledRequest(user_id=user_id, disabled=True)
    disabling = await wire.twice(
        "set_disabled", lambda: admin.SetUserDisabled(disable, metadata=service.admin)
    )
    assert disabling == OK
    assert not live_sessions(store)
    remove = admin_pb.DeleteUserRequest(user_id=user_id)
    removing = await wire.twice("delete_user", lambda: admin.DeleteUser(remove, metadata=service.admin))
    assert removing == "USER_NOT_FOUND"
    await service.add_user()


async def test_a_user_is_added_once(wire: Wire) -> None:
    """The retry says that the name is taken; the user is there, whole, and can log in."""
    service = wire.service
    request = admin_pb.CreateUserRequest(username="ada", password=PASSWORD, roles=["reader"])
    call = service.admin_stub.CreateUser
    assert await wire.twice("create_user", lambda: call(request, metadata=service.admin)) == "USERNAME_TAKEN"
    assert list((await service.login()).user.roles) == ["reader"]


async def test_what_a_cut_off_caller_asked_for_is_done_once(
    one_redis: RedisServer, store: redis.Redis, serve: Serve
) -> None:
    """The connection breaks before the answer: login, refresh and logout are done, and can be retried."""
    service = await serve(patient_with(one_redis), session={"refresh_grace": 600})
    await service.add_user()
    async with TcpProxy(int(service.address.rpartition(":")[2])) as proxy:

        async def lose(call: Callable[[ServiceClient], Awaitable[object]], happened: str) -> None:
            proxy.swallow_replies = False
            async with connect(f"{LOOPBACK}:{proxy.port}", ADMIN_KEY) as client:
                await client.channel.channel_ready()
                before = counted(store)[happened]
                proxy.swallow_replies = True
                answer = asyncio.create_task(outcome(call(client)))
                await eventually_async(lambda: counted(store)[happened] > before, timeout=30)
                proxy.cut()
                assert await answer == "UNAVAILABLE"

        await lose(lambda client: client.login(request_id="r-1"), "login")
        login = await service.login(request_id="r-1")
        await lose(lambda client: client.refresh(login.refresh_token), "refresh")
        await service.refresh((await service.refresh(login.refresh_token)).refresh_token)
        assert live_sessions(store) == {(login.user.user_id, login.session_id)}
        await lose(lambda client: client.logout(login.access_token), "logout")
        assert await outcome(service.logout(login.access_token)) == "SESSION_ENDED"
        assert not live_sessions(store)
    assert counted(store) == {"user_created": 1, "login": 1, "refresh": 2, "logout": 1}
