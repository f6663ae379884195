"""Redis is full and may not evict: nothing begins any more, but everything can be ended."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest
from session_api.v1 import admin_service_pb2 as admin_pb
from session_api.v1 import session_service_pb2 as pb

from tests.support import RedisServer
from tests.support.in_process import ServiceUnderTest, bearer, patient_with
from tests.support.outcomes import OK, outcome
from tests.support.redis_contents import indexed_sessions, live_sessions

Serve: TypeAlias = Callable[..., Awaitable[ServiceUnderTest]]
UNAVAILABLE = "STORE_UNAVAILABLE"
NEW_PASSWORD = "another horse's battery"


@dataclass(frozen=True, slots=True)
class Person:
    """A user with three sessions."""

    user_id: str
    sessions: list[pb.LoginResponse]


@pytest.fixture
def server(start_redis: Callable[..., RedisServer]) -> RedisServer:
    """A Redis to fill up."""
    return start_redis()


@pytest.fixture
async def full(server: RedisServer, serve: Serve) -> AsyncIterator[tuple[ServiceUnderTest, Person]]:
    """A service whose Redis has no memory left by now, and a user of it."""
    service = await serve(patient_with(server))
    user_id = await service.add_user()
    person = Person(user_id, [await service.login() for _ in range(3)])
    with server.client() as client:
        client.config_set("maxmemory", "1")
        yield service, person
        client.config_set("maxmemory", "0")


async def test_nothing_begins(full: tuple[ServiceUnderTest, Person], server: RedisServer) -> None:
    """Logins, trusted logins, refreshes and new users are UNAVAILABLE, and leave nothing behind."""
    service, person = full
    with server.client() as client:
        before = live_sessions(client)
        for call in (
            service.login(),
            service.open_session(person.user_id),
            service.open_session("guest"),
            service.refresh(person.sessions[0].refresh_token),
            service.add_user("eve"),
        ):
            assert await outcome(call) == UNAVAILABLE
        assert live_sessions(client) == indexed_sessions(client) == before
    for session in person.sessions:
        await service.verify(session.access_token)


async def test_sessions_end(full: tuple[ServiceUnderTest, Person], server: RedisServer) -> None:
    """A user's logout, revocation and logout everywhere work."""
    service, person = full
    one, other, third = person.sessions
    await service.logout(one.access_token)
    revoke = pb.RevokeSessionRequest(session_id=other.session_id)
    await service.sessions.RevokeSession(revoke, metadata=bearer(third.access_token))
    await service.sessions.LogoutAll(pb.LogoutAllRequest(), metadata=bearer(third.access_token))
    for session in person.sessions:
        assert await outcome(service.verify(session.access_token)) == "SESSION_ENDED"
    with server.client() as client:
        assert not live_sessions(client) | indexed_sessions(client)


@pytest.mark.parametrize("rpc", ["RevokeUserSessions", "SetUserDisabled", "SetPassword", "DeleteUser"])
async def test_operators_end_them(
    full: tuple[ServiceUnderTest, Person], server: RedisServer, rpc: str
) -> None:
    """So do an operator's ways of keeping somebody out."""
    service, person = full
    stub, admin, user_id = service.admin_stub, service.admin, person.user_id
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "RevokeUserSessions": lambda: stub.RevokeUserSessions(
            admin_pb.RevokeUserSessionsRequest(user_id=user_id), metadata=admin
        ),
        "SetUserDisabled": lambda: stub.SetUserDisabled(
            admin_pb.SetUserDisabledRequest(user_id=user_id, disabled=True), metadata=admin
        ),
        "SetPassword": lambda: stub.SetPassword(
            admin_pb.SetPasswordRequest(user_id=user_id, password=NEW_PASSWORD), metadata=admin
        ),
        "DeleteUser": lambda: stub.DeleteUser(admin_pb.DeleteUserRequest(user_id=user_id), metadata=admin),
    }
    assert (await calls[rpc]()).revoked_count == 3
    with server.client() as client:
        assert not live_sessions(client) | indexed_sessions(client)
        client.config_set("maxmemory", "0")
    expected = OK if rpc == "RevokeUserSessions" else "INVALID_CREDENTIALS"
    assert await outcome(service.login()) == expected
