"""I2: once the end of a session is acknowledged, no check that begins later succeeds. Anywhere."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import pytest
from session_api.v1 import admin_service_pb2 as admin_pb
from session_api.v1 import session_service_pb2 as pb

from session_service.domain.service_keys import service_key_digest
from session_service.tokens.keys import new_document
from tests.support import RedisBinary, RedisServer, ServiceProcess, eventually_async
from tests.support.engines import ENGINES, services_on
from tests.support.history import History
from tests.support.in_process import ADMIN_KEY
from tests.support.outcomes import OK
from tests.support.service_client import ServiceClient, bearer, connect

Ending: TypeAlias = Callable[[ServiceClient, pb.LoginResponse], Awaitable[object]]
ENOUGH = 40


def logout(client: ServiceClient, login: pb.LoginResponse) -> Awaitable[object]:
    """The user ends his session."""
    return client.logout(login.access_token)


def logout_all(client: ServiceClient, login: pb.LoginResponse) -> Awaitable[object]:
    """The user ends all his sessions."""
    return client.sessions.LogoutAll(pb.LogoutAllRequest(), metadata=bearer(login.access_token))


def revoke(client: ServiceClient, login: pb.LoginResponse) -> Awaitable[object]:
    """The user ends it by its id."""
    request = pb.RevokeSessionRequest(session_id=login.session_id)
    return client.sessions.RevokeSession(request, metadata=bearer(login.access_token))


def revoke_as_operator(client: ServiceClient, login: pb.LoginResponse) -> Awaitable[object]:
    """An operator ends it by its id."""
    request = admin_pb.RevokeUserSessionRequest(user_id=login.user.user_id, session_id=login.session_id)
    return client.admin_stub.RevokeUserSession(request, metadata=client.admin)


def force_out(client: ServiceClient, login: pb.LoginResponse) -> Awaitable[object]:
    """An operator ends all of the user's."""
    request = admin_pb.RevokeUserSessionsRequest(user_id=login.user.user_id)
    return client.admin_stub.RevokeUserSessions(request, metadata=client.admin)


def disable(client: ServiceClient, login: pb.LoginResponse) -> Awaitable[object]:
    """An operator disables the user."""
    request = admin_pb.SetUserDisabledRequest(user_id=login.user.user_id, disabled=True)
    return client.admin_stub.SetUserDisabled(request, metadata=client.admin)


def delete(client: ServiceClient, login: pb.LoginResponse) -> Awaitable[object]:
    """An operator removes the user."""
    request = admin_pb.DeleteUserRequest(user_id=login.user.user_id)
    return client.admin_stub.DeleteUser(request, metadata=client.admin)


def set_password(client: ServiceClient, login: pb.LoginResponse) -> Awaitable[object]:
    """An operator sets another password."""
    request = admin_pb.SetPasswordRequest(user_id=login.user.user_id, password="another one's battery")
    return client.admin_stub.SetPassword(request, metadata=client.admin)


ENDINGS: tuple[Ending, ...] = (
    logout,
    logout_all,
    revoke,
    revoke_as_operator,
    force_out,
    disable,
    delete,
    set_password,
)


@pytest.fixture(scope="module", params=ENGINES)
def addresses(request: pytest.FixtureRequest, one_binary: RedisBinary) -> Iterator[list[str]]:
    """Two services in processes of their own, over one Redis and with the same keys; on each engine."""
    with ExitStack() as stack:
        stack.enter_context(services_on(request.param))
        where = {"url": stack.enter_context(RedisServer(one_binary)).url}
        keys = stack.enter_context(TemporaryDirectory())
        key_file = Path(keys, "keys.json")
        key_file.write_text(json.dumps(new_document("HS256")), encoding="utf-8")
        operator = {"name": "tests", "digest": service_key_digest(ADMIN_KEY), "roles": ["admin"]}
        config: dict[str, dict[str, Any]] = {
            "redis": where,
            "tokens": {"key_file": str(key_file)},
            "admin": {"service_keys": [operator]},
        }
        yield [stack.enter_context(ServiceProcess(config)).address for _ in range(2)]


@pytest.fixture
async def clients(addresses: list[str]) -> AsyncIterator[list[ServiceClient]]:
    """Two connections to each of the two services."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(connect(address, ADMIN_KEY)) for address in addresses * 2]


@pytest.mark.parametrize("end", ENDINGS, ids=lambda end: end.__name__)
async def test_no_check_that_begins_later_succeeds(clients: list[ServiceClient], end: Ending) -> None:
    """Checks run on four connections to two services; from the acknowledgement on each new one fails."""
    await clients[0].add_user(end.__name__)
    logins = [await client.login(end.__name__) for client in clients]
    ended = logins if end not in {logout, revoke, revoke_as_operator} else logins[:1]
    checks = [partial(client.verify, login.access_token) for client in clients for login in ended]
    history = History(*checks)
    await eventually_async(lambda: len(history.checks) >= ENOUGH, timeout=30)
    await end(clients[0], logins[0])
    acknowledged = time.monotonic()
    await eventually_async(lambda: len(history.since(acknowledged)) >= ENOUGH, timeout=30)
    await history.stop()
    assert {check.outcome for check in history.since(acknowledged)} == {"SESSION_ENDED"}
    assert OK in {check.outcome for check in history.until(acknowledged)}
