"""The audit trail: each act leaves one event, with ids and without secrets, and none gets lost unnoticed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest
import redis
from session_api.v1 import admin_service_pb2 as admin_pb
from session_api.v1 import session_service_pb2 as pb

from tests.support import LOOPBACK, RedisServer, eventually_async
from tests.support.cut_off import settle
from tests.support.in_process import PASSWORD, ServiceUnderTest, bearer, patient_with
from tests.support.outcomes import is_away, is_serving, outcome
from tests.support.redis_contents import counted, events, live_sessions
from tests.support.service_client import ServiceClient
from tests.support.wire import Wire

Serve: TypeAlias = Callable[..., Awaitable[ServiceUnderTest]]
Event: TypeAlias = dict[str, str]
ON_DISK = {"appendonly": "yes", "appendfsync": "always"}
OPERATOR = "service:tests"
NEW_PASSWORD = "another horse's battery"
DENIED = 20
PATIENCE = 20.0


async def test_each_act_of_a_user_leaves_one_event(service: ServiceUnderTest, store: redis.Redis) -> None:
    """In order, to whom, in which session, by whom and from where; checks and listings leave none."""
    stub = service.sessions
    user_id = await service.add_user()
    first, second, third, fourth = [await service.login() for _ in range(4)]
    caller = bearer(first.access_token)
    await outcome(stub.Login(pb.LoginRequest(username="ada", password="wrong")))
    await outcome(stub.Login(pb.LoginRequest(username="nobody", password="wrong")))
    await service.verify(first.access_token)
    await stub.ListSessions(pb.ListSessionsRequest(), metadata=caller)
    renewed = await service.refresh(second.refresh_token)
    await service.refresh(second.refresh_token)
    await service.refresh(renewed.refresh_token)
    assert await outcome(service.refresh(second.refresh_token)) == "REFRESH_TOKEN_REUSED"
    await stub.RevokeSession(pb.RevokeSessionRequest(session_id=third.session_id), metadata=caller)
    await outcome(stub.RevokeSession(pb.RevokeSessionRequest(session_id=third.session_id), metadata=caller))
    change = pb.ChangePasswordRequest(current_password=PASSWORD, new_password=NEW_PASSWORD)
    await stub.ChangePassword(change, metadata=caller)
    await service.logout(first.access_token)
    await outcome(service.logout(first.access_token))
    last = await stub.Login(pb.LoginRequest(username="ada", password=NEW_PASSWORD))
    await stub.LogoutAll(pb.LogoutAllRequest(), metadata=bearer(last.access_token))
    himself = {"user_id": user_id, "actor": f"user:{user_id}", "ip_address": LOOPBACK}
    assert await _trail(service, store) == [
        {"action": "user_created", "user_id": user_id, "actor": OPERATOR, "ip_address": LOOPBACK},
        {"action": "login", "session_id": first.session_id, "detail": "new_device", **himself},
        *({"action": "login", "session_id": each.session_id, **himself} for each in (second, third, fourth)),
        {"action": "login_failed", "user_id": user_id, "ip_address": LOOPBACK},
        {"action": "login_failed", "ip_address": LOOPBACK},
        {"action": "refresh", "session_id": second.session_id, **himself},
        {"action": "refresh", "session_id": second.session_id, **himself},
        {"action": "refresh_reused", "session_id": second.session_id, "count": "1", **himself},
        {"action": "revoke", "session_id": third.session_id, "count": "1", **himself},
        {"action": "password_changed", "count": "1", **himself},
        {"action": "logout", "session_id": first.session_id, "count": "1", **himself},
        {"action": "login", "session_id": last.session_id, **himself},
        {"action": "logout_all", "count": "1", **himself},
    ]


async def test_each_act_of_an_operator_leaves_one_event(
    service: ServiceUnderTest, store: redis.Redis
) -> None:
    """Whoever acts and whoever is turned away is named; reading leaves no event."""
    stub, admin = service.admin_stub, service.admin
    user_id = await service.add_user()
    opened = [await service.open_session(user_id) for _ in range(4)]
    who = {"user_id": user_id}
    one = admin_pb.RevokeUserSessionRequest(session_id=opened[0].session_id, **who)
    await stub.RevokeUserSession(one, metadata=admin)
    await stub.SetUserRoles(admin_pb.SetUserRolesRequest(roles=["reader"], **who), metadata=admin)
    keep = admin_pb.SetPasswordRequest(password=NEW_PASSWORD, keep_sessions=True, **who)
    await stub.SetPassword(keep, metadata=admin)
    await stub.RevokeUserSessions(admin_pb.RevokeUserSessionsRequest(**who), metadata=admin)
    for disabled in (True, False):
        switch = admin_pb.SetUserDisabledRequest(disabled=disabled, **who)
        await stub.SetUserDisabled(switch, metadata=admin)
    await stub.GetUser(admin_pb.GetUserRequest(**who), metadata=admin)
    await stub.ListUsers(admin_pb.ListUsersRequest(), metadata=admin)
    await stub.GetStats(admin_pb.GetStatsRequest(), metadata=admin)
    plain = await service.open_session("eve")
    await outcome(stub.GetStats(admin_pb.GetStatsRequest(), metadata=bearer(plain.access_token)))
    await stub.DeleteUser(admin_pb.DeleteUserRequest(**who), metadata=admin)
    by = {"actor": OPERATOR, "ip_address": LOOPBACK}
    his = {"user_id": user_id, **by}
    trail = await _trail(service, store)
    assert {event.pop("detail", "new_device") for event in trail} == {"new_device"}
    assert trail == [
        {"action": "user_created", **his},
        *({"action": "session_created", "session_id": each.session_id, **his} for each in opened),
        {"action": "revoke", "session_id": opened[0].session_id, "count": "1", **his},
        {"action": "user_roles_set", **his},
        {"action": "user_password_set", **his},
        {"action": "logout_all", "count": "3", **his},
        {"action": "user_disabled", **his},
        {"action": "user_enabled", **his},
        {"action": "session_created", "user_id": "eve", "session_id": plain.session_id, **by},
        {"action": "access_denied", "actor": "user:eve", "ip_address": LOOPBACK},
        {"action": "user_deleted", **his},
    ]


@pytest.mark.parametrize("buffer", [1000, 5], ids=["all kept", "a gap"])
async def test_events_wait_for_a_redis_that_is_away(
    start_one_redis: Callable[..., RedisServer], serve: Serve, buffer: int
) -> None:
    """What happens while Redis is down is written once it is back; what did not fit is counted."""
    server = start_one_redis(ON_DISK)
    service = await serve(server, audit={"buffer": buffer}, server={"trusted_proxies": [LOOPBACK]})
    opened = await service.open_session()
    with server.client() as store:
        await eventually_async(lambda: counted(store)["session_created"] == 1)
    server.kill()
    await eventually_async(lambda: is_away(service), timeout=PATIENCE)
    for place in range(DENIED):
        await _be_denied(service, f"192.0.2.{place}")
    # What Redis was never asked for is no act.
    assert await outcome(service.refresh(opened.refresh_token)) == "STORE_UNAVAILABLE"
    server.start()
    await eventually_async(lambda: is_serving(service), timeout=PATIENCE)
    await service.logout(opened.access_token)
    with server.client() as store:
        await eventually_async(lambda: counted(store)["logout"] == 1, timeout=PATIENCE)
        trail = events(store)
    missing = sum(int(event["count"]) for event in trail if event["action"] == "gap")
    written = sum(event["action"] == "access_denied" for event in trail)
    assert written + missing == DENIED
    assert bool(missing) is (buffer < DENIED)
    assert [event["action"] for event in trail if event["action"] not in {"access_denied", "gap"}] == [
        "session_created",
        "logout",
    ]


async def test_an_event_whose_writing_was_not_confirmed_is_written_once(
    wire: Wire, store: redis.Redis
) -> None:
    """The batch is sent again under its number, and Redis knows it already."""
    await wire.service.open_session()
    wire.lose_reply_to("append")
    await _be_denied(wire.service, LOOPBACK)
    await eventually_async(lambda: counted(store)["access_denied"] == 1)
    await settle(wire.service, store)
    assert counted(store) == {"session_created": 1, "access_denied": 1, "logout_all": 1}


async def test_an_act_whose_answer_was_lost_is_in_the_trail(wire: Wire, store: redis.Redis) -> None:
    """Done in Redis, UNAVAILABLE to its caller: one event says so; the retry, which changes nothing, none."""
    service = wire.service
    await wire.twice("create", lambda: service.open_session(request_id="r-1"))
    [(_, session_id)] = live_sessions(store)
    opened = await service.open_session(request_id="r-1")
    await wire.twice("rotate", lambda: service.refresh(opened.refresh_token))
    await wire.twice("end", lambda: service.logout(opened.access_token))
    who = {"user_id": "u-1", "session_id": session_id, "ip_address": LOOPBACK, "detail": "unconfirmed"}
    trail = await _trail(service, store)
    assert trail == [
        {"action": "session_created", "actor": OPERATOR, **who},
        {"action": "refresh", "actor": "user:u-1", **who},
        {"action": "logout", "actor": "user:u-1", "count": "1", **who},
    ]


async def test_an_act_that_redis_refused_is_not_in_the_trail(
    start_one_redis: Callable[..., RedisServer], serve: Serve
) -> None:
    """Short of replicas Redis makes no change, and the trail claims none."""
    server = start_one_redis()
    service = await serve(patient_with(server))
    opened = await service.open_session()
    with server.client() as store:
        store.config_set("min-replicas-to-write", "1")
        for call in (service.open_session(), service.logout(opened.access_token)):
            assert await outcome(call) == "STORE_UNAVAILABLE"
        store.config_set("min-replicas-to-write", "0")
        assert [event["action"] for event in await _trail(service, store)] == ["session_created"]


async def _be_denied(service: ServiceClient, address: str) -> None:
    """An act that Redis takes no part in; from one address it is told once in a while."""
    metadata = (("x-service-key", "none"), ("x-forwarded-for", address))
    call = service.admin_stub.GetStats(admin_pb.GetStatsRequest(), metadata=metadata)
    assert await outcome(call) == "ADMIN_REQUIRED"


async def _trail(service: ServiceClient, store: redis.Redis) -> list[Event]:
    """Every event so far but the marker that tells that they are all there."""
    await settle(service, store)
    return events(store)[:-1]
