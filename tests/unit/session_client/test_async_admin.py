"""What AsyncAdmin sends and what it makes of the answers; Admin does the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from session_api.v1 import admin_service_pb2 as pb
from session_api.v1 import session_pb2
from session_client import Device, Login, Stats, Sweep, TokenInvalid, User, UserChange

from tests.support.scripted_service import ScriptedService

if TYPE_CHECKING:
    from session_client import AsyncSessionClient

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
STAMP = Timestamp(seconds=1_893_499_200)
ANN = session_pb2.User(user_id="u1", username="Ann", roles=["a"], created_time=STAMP)
ANN_RESULT = User("u1", "Ann", ("a",), disabled=False, created_time=NOON)


def sent(service: ScriptedService) -> Any:
    """The request of the only call, which carried the service key."""
    (call,) = service.calls
    assert call.metadata["x-service-key"] == "the-key"
    return call.request


async def test_create_user(client: AsyncSessionClient, service: ScriptedService) -> None:
    """A user is created with a password, and never with a hash beside it."""
    service.script("CreateUser", pb.CreateUserResponse(user=ANN))

    assert await client.admin.create_user("Ann", "pw", roles=("a",), user_id="u1") == ANN_RESULT
    assert sent(service) == pb.CreateUserRequest(username="Ann", password="pw", roles=["a"], user_id="u1")


async def test_import_user(client: AsyncSessionClient, service: ScriptedService) -> None:
    """A user from elsewhere brings a hash, and never a password beside it."""
    service.script("CreateUser", pb.CreateUserResponse(user=ANN))

    assert await client.admin.import_user("Ann", "$2b$…", roles={"a"}, user_id="u1") == ANN_RESULT
    expected = pb.CreateUserRequest(username="Ann", password_hash="$2b$…", roles=["a"], user_id="u1")
    assert sent(service) == expected


@pytest.mark.parametrize("method", ["create_user", "import_user", "create_session"])
async def test_roles_are_not_one_string(
    client: AsyncSessionClient, service: ScriptedService, method: str
) -> None:
    """A forgotten comma does not give a user the roles "a", "d", "m", "i" and "n"."""
    with pytest.raises(TypeError):
        await getattr(client.admin, method)("ann", "pw", roles="admin")
    with pytest.raises(TypeError):
        await client.admin.set_user_roles("u1", "admin")
    assert not service.calls


async def test_get_user(client: AsyncSessionClient, service: ScriptedService) -> None:
    """A user is found by id."""
    service.script("GetUser", pb.GetUserResponse(user=ANN))

    assert await client.admin.get_user("u1") == ANN_RESULT
    assert sent(service) == pb.GetUserRequest(user_id="u1")


async def test_get_user_by_name(client: AsyncSessionClient, service: ScriptedService) -> None:
    """A user is found by name."""
    service.script("GetUser", pb.GetUserResponse(user=ANN))

    assert await client.admin.get_user_by_name("ann") == ANN_RESULT
    assert sent(service) == pb.GetUserRequest(username="ann")


async def test_list_users(client: AsyncSessionClient, service: ScriptedService) -> None:
    """Users come page by page."""
    service.script("ListUsers", pb.ListUsersResponse(users=[ANN], next_page_token="p2", total_size=7))
    page = await client.admin.list_users(page_size=1, page_token="p1")

    assert (page.items, page.next_page_token, page.total_size) == ((ANN_RESULT,), "p2", 7)
    assert sent(service) == pb.ListUsersRequest(page_size=1, page_token="p1")


async def test_iter_users(client: AsyncSessionClient, service: ScriptedService) -> None:
    """Iteration goes through all pages of users, the largest that the service gives."""
    one = pb.ListUsersResponse(users=[session_pb2.User(user_id="1")], next_page_token="b")
    service.script("ListUsers", one, pb.ListUsersResponse(users=[session_pb2.User(user_id="2")]))

    assert [user.user_id async for user in client.admin.iter_users()] == ["1", "2"]
    pages = [(call.request.page_size, call.request.page_token) for call in service.calls]
    assert pages == [(100, ""), (100, "b")]


async def test_set_password(client: AsyncSessionClient, service: ScriptedService) -> None:
    """Setting a password says how many sessions that ended."""
    service.script("SetPassword", pb.SetPasswordResponse(revoked_count=2))

    assert await client.admin.set_password("u1", "pw", keep_sessions=True) == 2
    assert sent(service) == pb.SetPasswordRequest(user_id="u1", password="pw", keep_sessions=True)


async def test_passwords_end_sessions_by_default(
    client: AsyncSessionClient, service: ScriptedService
) -> None:
    """Whoever knew the old password is out unless the caller says otherwise."""
    await client.admin.set_password("u1", "pw")

    assert not sent(service).keep_sessions


async def test_set_user_roles(client: AsyncSessionClient, service: ScriptedService) -> None:
    """Setting roles gives the user as it is then."""
    service.script("SetUserRoles", pb.SetUserRolesResponse(user=ANN))

    assert await client.admin.set_user_roles("u1", ["a"]) == ANN_RESULT
    assert sent(service) == pb.SetUserRolesRequest(user_id="u1", roles=["a"])


@pytest.mark.parametrize("disabled", [True, False])
async def test_set_user_disabled(
    client: AsyncSessionClient, service: ScriptedService, disabled: bool
) -> None:
    """Disabling or enabling gives the user as it is then, and how many sessions that ended."""
    service.script("SetUserDisabled", pb.SetUserDisabledResponse(user=ANN, revoked_count=3))

    assert await client.admin.set_user_disabled("u1", disabled=disabled) == UserChange(ANN_RESULT, 3)
    assert sent(service) == pb.SetUserDisabledRequest(user_id="u1", disabled=disabled)


async def test_delete_user(client: AsyncSessionClient, service: ScriptedService) -> None:
    """Deleting a user says how many sessions that ended."""
    service.script("DeleteUser", pb.DeleteUserResponse(revoked_count=1))

    assert await client.admin.delete_user("u1") == 1
    assert sent(service) == pb.DeleteUserRequest(user_id="u1")


async def test_list_user_sessions(client: AsyncSessionClient, service: ScriptedService) -> None:
    """A user's sessions come page by page."""
    answer = pb.ListUserSessionsResponse(
        sessions=[session_pb2.Session(session_id="s1")], next_page_token="p2", total_size=2
    )
    service.script("ListUserSessions", answer)
    page = await client.admin.list_user_sessions("u1", page_size=1, page_token="p1")

    assert ([session.session_id for session in page.items], page.next_page_token) == (["s1"], "p2")
    assert page.total_size == 2
    assert sent(service) == pb.ListUserSessionsRequest(user_id="u1", page_size=1, page_token="p1")


async def test_iter_user_sessions(client: AsyncSessionClient, service: ScriptedService) -> None:
    """Iteration goes through all pages of a user's sessions."""
    service.script(
        "ListUserSessions",
        pb.ListUserSessionsResponse(sessions=[session_pb2.Session(session_id="1")], next_page_token="b"),
        pb.ListUserSessionsResponse(sessions=[session_pb2.Session(session_id="2")]),
    )

    found = [session.session_id async for session in client.admin.iter_user_sessions("u1")]
    assert found == ["1", "2"]
    assert {call.request.user_id for call in service.calls} == {"u1"}


async def test_revoke_user_session(client: AsyncSessionClient, service: ScriptedService) -> None:
    """One session of a user ends by its id."""
    await client.admin.revoke_user_session("u1", "s1")

    assert sent(service) == pb.RevokeUserSessionRequest(user_id="u1", session_id="s1")


async def test_revoke_user_sessions(client: AsyncSessionClient, service: ScriptedService) -> None:
    """Forcing a user out says how many sessions that ended."""
    service.script("RevokeUserSessions", pb.RevokeUserSessionsResponse(revoked_count=4))

    assert await client.admin.revoke_user_sessions("u1") == 4
    assert sent(service) == pb.RevokeUserSessionsRequest(user_id="u1")


async def test_create_session(client: AsyncSessionClient, service: ScriptedService) -> None:
    """A session for a login proven elsewhere; its user need not be in the directory."""
    service.script(
        "CreateSession",
        pb.CreateSessionResponse(
            access_token="at",
            token_type="Bearer",
            expires_in=1800,
            refresh_token="rt",
            session_id="s1",
            session_expire_time=STAMP,
            user=session_pb2.User(user_id="u9", username="sso"),
        ),
    )
    device = Device(name="phone")
    login = await client.admin.create_session("u9", "sso", roles=["r"], device=device, request_id="r1")

    assert sent(service) == pb.CreateSessionRequest(
        user_id="u9",
        username="sso",
        roles=["r"],
        device=session_pb2.DeviceInfo(name="phone"),
        request_id="r1",
    )
    user = User("u9", "sso", (), disabled=False, created_time=None)
    half_an_hour = timedelta(minutes=30)
    assert login == Login("at", "Bearer", half_an_hour, "rt", "s1", NOON, user, new_device=False)


async def test_each_created_session_has_a_request_id_of_its_own(
    client: AsyncSessionClient, service: ScriptedService
) -> None:
    """Two calls without a request id are two sessions."""
    await client.admin.create_session("u9", "sso")
    await client.admin.create_session("u9", "sso")

    assert len({call.request.request_id for call in service.calls} - {""}) == 2


async def test_get_stats(client: AsyncSessionClient, service: ScriptedService) -> None:
    """The figures, of which the instant of the count is missing before the first count."""
    service.script(
        "GetStats",
        pb.GetStatsResponse(active_sessions=1, users=2, created_sessions=2**40, ended_sessions=4),
        pb.GetStatsResponse(counted_time=STAMP),
    )

    assert await client.admin.get_stats() == Stats(1, 2, None, 2**40, 4)
    assert (await client.admin.get_stats()).counted_time == NOON


async def test_clean_up_sessions(client: AsyncSessionClient, service: ScriptedService) -> None:
    """A sweep says what it did, and may take longer than other calls."""
    service.script("CleanUpSessions", pb.CleanUpSessionsResponse(scanned_entries=9, removed_entries=4))

    assert await client.admin.clean_up_sessions() == Sweep(9, 4)
    assert round(service.calls[0].time_left) == 60


async def test_admin_as(client: AsyncSessionClient, service: ScriptedService) -> None:
    """An operator acts under his own token, so that the audit trail names him and not the service."""
    await client.admin_as("at").delete_user("u1")

    (call,) = service.calls
    assert call.metadata["authorization"] == "Bearer at"
    assert "x-service-key" not in call.metadata


async def test_admin_as_no_one(client: AsyncSessionClient) -> None:
    """Nonsense for a token is refused before any call."""
    with pytest.raises(TokenInvalid):
        client.admin_as("a\nb")
