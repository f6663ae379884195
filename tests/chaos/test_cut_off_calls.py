"""A caller who is gone in the middle of a change: the change is whole, or it was not begun.

Whole means that sessions, index, directory and audit trail tell the same story.
"""

from __future__ import annotations

from typing import Any

import pytest
import redis
from session_api.v1 import admin_service_pb2 as admin_pb
from session_api.v1 import session_service_pb2 as pb

from session_service.storage import keys
from tests.support.cut_off import Call, How, cut_off, settle, told
from tests.support.in_process import PASSWORD, ServiceUnderTest, bearer
from tests.support.redis_contents import counted, live_sessions

POINTS = 200
DEAR_POINTS = 40

both_ways = pytest.mark.parametrize("how", ["hangs up", "runs out of time"])


@both_ways
async def test_a_session_is_created_or_not(service: ServiceUnderTest, store: redis.Redis, how: How) -> None:
    """Each session that there is has one event, and each event its session."""

    def create(deadline: float | None) -> Any:
        request = admin_pb.CreateSessionRequest(user_id="ada", username="ada")
        return service.admin_stub.CreateSession(request, metadata=service.admin, timeout=deadline)

    assert await cut_off([create] * POINTS, how)
    await settle(service, store)
    alive = sorted(session_id for _, session_id in live_sessions(store))
    assert told(store, "session_created", "session_id") == alive


@both_ways
async def test_a_login_happens_or_not(service: ServiceUnderTest, store: redis.Redis, how: How) -> None:
    """Whether it was the hash or the store that he did not wait for, sessions and events agree."""
    await service.add_user()

    def login(deadline: float | None) -> Any:
        request = pb.LoginRequest(username="ada", password=PASSWORD)
        return service.sessions.Login(request, timeout=deadline)

    assert await cut_off([login] * DEAR_POINTS, how)
    await settle(service, store)
    alive = sorted(session_id for _, session_id in live_sessions(store))
    assert told(store, "login", "session_id") == alive


@both_ways
async def test_a_refresh_happens_or_not(service: ServiceUnderTest, store: redis.Redis, how: How) -> None:
    """Each rotation has one event, and who retries is never taken for a thief."""
    opened = [await service.open_session() for _ in range(POINTS)]

    def refreshing(token: str) -> Call:
        request = pb.RefreshTokenRequest(refresh_token=token)
        return lambda deadline: service.sessions.RefreshToken(request, timeout=deadline)

    assert await cut_off([refreshing(session.refresh_token) for session in opened], how)
    await settle(service, store)
    rotated = [each.session_id for each in opened if _generation(store, each.session_id) == 2]
    assert told(store, "refresh", "session_id") == sorted(rotated)
    for session in opened:
        await service.verify((await service.refresh(session.refresh_token)).access_token)
    await settle(service, store)
    assert counted(store)["refresh"] == POINTS


@both_ways
@pytest.mark.parametrize("rpc", ["Logout", "RevokeSession", "RevokeUserSession"])
async def test_a_session_is_ended_or_not(
    service: ServiceUnderTest, store: redis.Redis, how: How, rpc: str
) -> None:
    """Exactly those that an event tells of are gone."""
    opened = [await service.open_session() for _ in range(POINTS)]

    def ending(session: admin_pb.CreateSessionResponse) -> Call:
        if rpc == "RevokeUserSession":
            by_operator = admin_pb.RevokeUserSessionRequest(user_id="u-1", session_id=session.session_id)
            return lambda deadline: service.admin_stub.RevokeUserSession(
                by_operator, metadata=service.admin, timeout=deadline
            )
        own = bearer(session.access_token)
        if rpc == "Logout":
            return lambda deadline: service.sessions.Logout(
                pb.LogoutRequest(), metadata=own, timeout=deadline
            )
        revoke = pb.RevokeSessionRequest(session_id=session.session_id)
        return lambda deadline: service.sessions.RevokeSession(revoke, metadata=own, timeout=deadline)

    assert await cut_off([ending(session) for session in opened], how)
    await settle(service, store)
    alive = {session_id for _, session_id in live_sessions(store)}
    gone = sorted({session.session_id for session in opened} - alive)
    assert told(store, "logout" if rpc == "Logout" else "revoke", "session_id") == gone


def _generation(store: Any, session_id: str) -> int:
    return int(store.hget(keys.session("u-1", session_id), "refresh_generation") or 1)
