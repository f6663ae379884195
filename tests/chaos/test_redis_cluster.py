"""The whole service over a Redis Cluster: every RPC, and a primary that dies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TypeAlias

import grpc
import pytest
from session_api.v1 import admin_service_pb2 as admin_pb
from session_api.v1 import session_service_pb2 as pb

from session_service.storage import keys
from tests.support import RedisBinary, RedisCluster, eventually_async
from tests.support.errors import fails
from tests.support.in_process import PASSWORD, ServiceUnderTest, bearer
from tests.support.outcomes import OK, is_serving, outcome

Serve: TypeAlias = Callable[..., Awaitable[ServiceUnderTest]]
NEW_PASSWORD = "another horse's battery"
NAMES = tuple(f"user-{number}" for number in range(6))
LIMIT = 3.0
PATIENCE = 30.0
UNAVAILABLE = 14


@pytest.fixture(scope="module")
def _own_cluster(one_binary: RedisBinary) -> Iterator[RedisCluster]:
    disk = {"appendonly": "yes", "appendfsync": "always", "cluster-require-full-coverage": "no"}
    with RedisCluster(one_binary, disk) as cluster:
        yield cluster


@pytest.fixture
def cluster(_own_cluster: RedisCluster) -> RedisCluster:
    """Three primaries with their data on disk, emptied."""
    _own_cluster.flush()
    return _own_cluster


@pytest.fixture
async def service(cluster: RedisCluster, serve: Serve) -> ServiceUnderTest:
    """A service over the cluster, of which it is told one node."""
    host, port = cluster.addresses[0]
    at = {"cluster": {"nodes": [f"{host}:{port}"]}, "connect_timeout": 1, "command_timeout": 2}
    return await serve(at, session={"max_sessions": 4, "refresh_grace": 600})


async def test_every_rpc_of_a_user_works(service: ServiceUnderTest) -> None:
    """Users whose keys lie on all three primaries live a whole life of sessions each."""
    stub = service.sessions
    for name in NAMES:
        await service.add_user(name)
        first, second, third = [await service.login(name, request_id=f"r-{n}") for n in range(3)]
        assert (await service.login(name, request_id="r-0")).session_id == first.session_id
        renewed = await service.refresh(first.refresh_token)
        caller = bearer(renewed.access_token)
        assert (await stub.ListSessions(pb.ListSessionsRequest(), metadata=caller)).total_size == 3
        await stub.RevokeSession(pb.RevokeSessionRequest(session_id=second.session_id), metadata=caller)
        change = pb.ChangePasswordRequest(current_password=PASSWORD, new_password=NEW_PASSWORD)
        assert (await stub.ChangePassword(change, metadata=caller)).revoked_count == 1
        for ended in (second, third):
            assert await outcome(service.verify(ended.access_token)) == "SESSION_ENDED"
        again = await stub.Login(pb.LoginRequest(username=name, password=NEW_PASSWORD))
        everywhere = pb.LogoutAllRequest(keep_current=True)
        assert (await stub.LogoutAll(everywhere, metadata=bearer(again.access_token))).revoked_count == 1
        await service.logout(again.access_token)
        with fails(grpc.StatusCode.UNAUTHENTICATED, "SESSION_ENDED"):
            await service.verify(again.access_token)


async def test_every_rpc_of_an_operator_works(service: ServiceUnderTest) -> None:
    """What spans slots works as well: names, listings, totals and the sweep."""
    stub, admin = service.admin_stub, service.admin
    ids = {name: await service.add_user(name) for name in NAMES}
    users = await stub.ListUsers(admin_pb.ListUsersRequest(), metadata=admin)
    assert [user.username for user in users.users] == list(NAMES)
    for name, user_id in ids.items():
        shown = await stub.GetUser(admin_pb.GetUserRequest(username=name), metadata=admin)
        assert shown.user.user_id == user_id
        sessions = [await service.open_session(user_id) for _ in range(3)]
        of_user = admin_pb.ListUserSessionsRequest(user_id=user_id)
        assert (await stub.ListUserSessions(of_user, metadata=admin)).total_size == 3
        one = admin_pb.RevokeUserSessionRequest(user_id=user_id, session_id=sessions[0].session_id)
        await stub.RevokeUserSession(one, metadata=admin)
        roles = admin_pb.SetUserRolesRequest(user_id=user_id, roles=["auditor"])
        assert list((await stub.SetUserRoles(roles, metadata=admin)).user.roles) == ["auditor"]
        assert list((await service.verify(sessions[1].access_token)).roles) == ["auditor"]
        password = admin_pb.SetPasswordRequest(user_id=user_id, password=NEW_PASSWORD, keep_sessions=True)
        assert (await stub.SetPassword(password, metadata=admin)).revoked_count == 0
    swept = await stub.CleanUpSessions(admin_pb.CleanUpSessionsRequest(), metadata=admin)
    assert (swept.scanned_entries, swept.removed_entries) == (2 * len(NAMES), 0)
    stats = await stub.GetStats(admin_pb.GetStatsRequest(), metadata=admin)
    assert (stats.active_sessions, stats.users) == (2 * len(NAMES), len(NAMES))
    for number, user_id in enumerate(ids.values()):
        await _end_somehow(service, user_id, number)
    left = await stub.CleanUpSessions(admin_pb.CleanUpSessionsRequest(), metadata=admin)
    assert left.scanned_entries == 0


async def test_a_dead_primary_takes_its_own_users_only(
    cluster: RedisCluster, service: ServiceUnderTest
) -> None:
    """Calls about users on it are UNAVAILABLE in time, others go on, and its return is noticed."""
    sessions = {f"u-{number}": await service.open_session(f"u-{number}") for number in range(12)}
    dead = cluster.nodes[2]
    lost = {user for user in sessions if cluster.owner(keys.user(user)) is dead}
    assert 0 < len(lost) < len(sessions)
    dead.kill()
    for user, session in sessions.items():
        expected = "STORE_UNAVAILABLE" if user in lost else OK
        request = pb.VerifyTokenRequest(token=session.access_token)
        assert await outcome(service.sessions.VerifyToken(request, timeout=LIMIT)) == expected
        renew = pb.RefreshTokenRequest(refresh_token=session.refresh_token)
        assert await outcome(service.sessions.RefreshToken(renew, timeout=LIMIT)) == expected
    tokens = [session.access_token for session in sessions.values()]
    batch = await service.sessions.BatchVerifyTokens(
        pb.BatchVerifyTokensRequest(tokens=tokens), timeout=LIMIT
    )
    told = [each.failure.code for each in batch.results]
    assert told == [UNAVAILABLE if user in lost else 0 for user in sessions]
    # Health is no reason to take the service from those whom it serves.
    assert await is_serving(service)
    dead.start()
    for session in sessions.values():
        await eventually_async(lambda: _passes(service, session.access_token), timeout=PATIENCE)  # noqa: B023
        await service.refresh(session.refresh_token)


async def _passes(service: ServiceUnderTest, token: str) -> bool:
    return await outcome(service.verify(token)) == OK


async def _end_somehow(service: ServiceUnderTest, user_id: str, number: int) -> None:
    """End a user's two sessions in one of the ways an operator has."""
    stub, admin = service.admin_stub, service.admin
    if number % 3 == 0:
        out = await stub.RevokeUserSessions(
            admin_pb.RevokeUserSessionsRequest(user_id=user_id), metadata=admin
        )
        assert out.revoked_count == 2
    elif number % 3 == 1:
        disable = admin_pb.SetUserDisabledRequest(user_id=user_id, disabled=True)
        assert (await stub.SetUserDisabled(disable, metadata=admin)).revoked_count == 2
    else:
        delete = admin_pb.DeleteUserRequest(user_id=user_id)
        assert (await stub.DeleteUser(delete, metadata=admin)).revoked_count == 2
