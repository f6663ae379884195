"""I4: what has ended stays ended, whatever races with its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest
import redis
from session_api.v1 import admin_service_pb2 as admin_pb
from session_api.v1 import session_service_pb2 as pb

from session_service.storage import keys
from tests.support.in_process import ServiceUnderTest, bearer
from tests.support.outcomes import OK, outcome
from tests.support.redis_contents import indexed_sessions, live_sessions

ServeTwo: TypeAlias = Callable[..., Awaitable[tuple[ServiceUnderTest, ServiceUnderTest]]]
ROUNDS = 40
ENDED = {"SESSION_ENDED", "REFRESH_TOKEN_INVALID"}


@pytest.mark.parametrize("ending", ["logout", "logout_all", "revoke", "admin_revoke", "admin_revoke_all"])
async def test_nothing_brings_an_ended_session_back(
    serve_two: ServeTwo, store: redis.Redis, ending: str
) -> None:
    """Touches, refreshes and retried logins that race with its end leave no session behind."""
    services = await serve_two(session={"idle_timeout": 3600, "refresh_grace": 600})
    for number in range(ROUNDS):
        one, other = services[:: 1 if number % 2 else -1]
        request = {"user_id": "ada", "request_id": f"r-{number}"}
        session = await one.open_session(**request)
        # The next checks are due to note activity.
        store.hset(keys.session("ada", session.session_id), "last_active", 0)
        racing: list[Awaitable[object]] = [
            one.verify(session.access_token),
            one.refresh(session.refresh_token),
            other.open_session(**request),
            other.refresh(session.refresh_token),
            other.verify(session.access_token),
        ]
        place = number % (len(racing) + 1)
        racing.insert(place, _end(other, ending, session))
        outcomes = await asyncio.gather(*(outcome(call) for call in racing))
        assert outcomes[place] == OK
        assert set(outcomes) <= {OK, *ENDED}
        for after in (one.verify(session.access_token), other.refresh(session.refresh_token)):
            assert await outcome(after) in ENDED
        assert not live_sessions(store)
        assert not indexed_sessions(store)


async def _end(service: ServiceUnderTest, ending: str, session: admin_pb.CreateSessionResponse) -> object:
    caller, session_id = bearer(session.access_token), session.session_id
    stub, admin = service.sessions, service.admin_stub
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "logout": lambda: stub.Logout(pb.LogoutRequest(), metadata=caller),
        "logout_all": lambda: stub.LogoutAll(pb.LogoutAllRequest(), metadata=caller),
        "revoke": lambda: stub.RevokeSession(pb.RevokeSessionRequest(session_id=session_id), metadata=caller),
        "admin_revoke": lambda: admin.RevokeUserSession(
            admin_pb.RevokeUserSessionRequest(user_id="ada", session_id=session_id), metadata=service.admin
        ),
        "admin_revoke_all": lambda: admin.RevokeUserSessions(
            admin_pb.RevokeUserSessionsRequest(user_id="ada"), metadata=service.admin
        ),
    }
    return await calls[ending]()
