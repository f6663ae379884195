"""Every RPC of AdminService, and who may call it, through real gRPC and real Redis."""

from __future__ import annotations

import asyncio
from typing import Any

import bcrypt
import grpc
import pytest
from session_api.v1 import admin_service_pb2 as pb
from session_api.v1 import session_pb2
from session_api.v1 import session_service_pb2 as session_pb

from tests.support.errors import fails
from tests.support.in_process import PASSWORD, ServiceUnderTest, bearer

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
NOT_FOUND = grpc.StatusCode.NOT_FOUND

CALLS = {
    "CreateUser": pb.CreateUserRequest(username="eve", password=PASSWORD),
    "GetUser": pb.GetUserRequest(username="ada"),
    "ListUsers": pb.ListUsersRequest(),
    "SetPassword": pb.SetPasswordRequest(user_id="u-1", password=PASSWORD),
    "SetUserRoles": pb.SetUserRolesRequest(user_id="u-1", roles=["admin"]),
    "SetUserDisabled": pb.SetUserDisabledRequest(user_id="u-1", disabled=True),
    "DeleteUser": pb.DeleteUserRequest(user_id="u-1"),
    "ListUserSessions": pb.ListUserSessionsRequest(user_id="u-1"),
    "RevokeUserSession": pb.RevokeUserSessionRequest(user_id="u-1", session_id="A" * 22),
    "RevokeUserSessions": pb.RevokeUserSessionsRequest(user_id="u-1"),
    "CreateSession": pb.CreateSessionRequest(user_id="u-1", username="eve"),
    "GetStats": pb.GetStatsRequest(),
    "CleanUpSessions": pb.CleanUpSessionsRequest(),
}


def test_every_rpc_is_in_the_table() -> None:
    """The table below misses no RPC of the service, so none is left unguarded unseen."""
    assert set(CALLS) == {method.name for method in pb.DESCRIPTOR.services_by_name["AdminService"].methods}


@pytest.mark.parametrize("name", sorted(CALLS))
async def test_only_an_admin_gets_through(service: ServiceUnderTest, name: str) -> None:
    """No credential is UNAUTHENTICATED; a wrong key and a user without the role are denied."""
    await service.add_user("ada")
    token = (await service.login()).access_token
    call: Any = getattr(service.admin_stub, name)
    with fails(UNAUTHENTICATED, "ADMIN_REQUIRED"):
        await call(CALLS[name])
    denied = [
        (("x-service-key", "ssk_wrong"),),
        bearer(token),
        service.admin * 2,
        # A wrong key is not made good by a token beside it.
        (("x-service-key", ""), *bearer(token)),
    ]
    for metadata in denied:
        with fails(grpc.StatusCode.PERMISSION_DENIED, "ADMIN_REQUIRED"):
            await call(CALLS[name], metadata=metadata)
    with fails(UNAUTHENTICATED, "TOKEN_INVALID"):
        await call(CALLS[name], metadata=bearer("no.such.token"))


async def test_a_user_with_the_role_is_an_admin_until_it_is_taken_away(service: ServiceUnderTest) -> None:
    """The right follows the roles of the live session, both ways, without a new login."""
    user_id = await service.add_user("ada")
    caller = bearer((await service.login()).access_token)
    for roles, allowed in ((["admin"], True), (["editor"], False)):
        change = pb.SetUserRolesRequest(user_id=user_id, roles=roles)
        answer = await service.admin_stub.SetUserRoles(change, metadata=service.admin)
        assert list(answer.user.roles) == roles
        if allowed:
            await service.admin_stub.GetStats(pb.GetStatsRequest(), metadata=caller)
        else:
            with fails(grpc.StatusCode.PERMISSION_DENIED, "ADMIN_REQUIRED"):
                await service.admin_stub.GetStats(pb.GetStatsRequest(), metadata=caller)


async def test_users_are_added_found_and_removed(service: ServiceUnderTest) -> None:
    """A user is found by id and by name in any case; removed, the name is free again."""
    admin, key = service.admin_stub, service.admin
    user_id = await service.add_user("Ada", roles=("editor",))
    by_id = await admin.GetUser(pb.GetUserRequest(user_id=user_id), metadata=key)
    by_name = await admin.GetUser(pb.GetUserRequest(username="aDA"), metadata=key)
    assert by_id == by_name
    assert (by_id.user.username, list(by_id.user.roles), by_id.user.disabled) == ("Ada", ["editor"], False)
    assert by_id.user.created_time.seconds > 0
    with fails(grpc.StatusCode.ALREADY_EXISTS, "USERNAME_TAKEN"):
        await service.add_user("ADA")
    login = await service.login("ada")
    removed = await admin.DeleteUser(pb.DeleteUserRequest(user_id=user_id), metadata=key)
    assert removed.revoked_count == 1
    with fails(UNAUTHENTICATED, "SESSION_ENDED"):
        await service.verify(login.access_token)
    with fails(NOT_FOUND, "USER_NOT_FOUND"):
        await admin.GetUser(pb.GetUserRequest(user_id=user_id), metadata=key)
    assert await service.add_user("ada") != user_id


async def test_users_are_listed_by_name_in_pages(service: ServiceUnderTest) -> None:
    """Pages follow each other without gap or repeat, in order of name."""
    names = ["carol", "Ada", "bob", "dan", "Eve"]
    for name in names:
        await service.add_user(name)
    listed: list[str] = []
    token = ""
    while True:
        request = pb.ListUsersRequest(page_size=2, page_token=token)
        page = await service.admin_stub.ListUsers(request, metadata=service.admin)
        assert page.total_size == 5
        listed += [user.username for user in page.users]
        token = page.next_page_token
        if not token:
            break
    assert listed == sorted(names, key=str.lower)


async def test_disabling_ends_sessions_and_keeps_the_user_out(service: ServiceUnderTest) -> None:
    """Disabled: every session ends at once, no login, no session by proxy; enabled: as before."""
    user_id = await service.add_user()
    tokens = [(await service.login()).access_token for _ in range(3)]
    disable = pb.SetUserDisabledRequest(user_id=user_id, disabled=True)
    answer = await service.admin_stub.SetUserDisabled(disable, metadata=service.admin)
    assert (answer.revoked_count, answer.user.disabled) == (3, True)
    for token in tokens:
        with fails(UNAUTHENTICATED, "SESSION_ENDED"):
            await service.verify(token)
    with fails(UNAUTHENTICATED, "INVALID_CREDENTIALS"):
        await service.login()
    with fails(UNAUTHENTICATED, "INVALID_CREDENTIALS"):
        await service.open_session(user_id)
    enable = pb.SetUserDisabledRequest(user_id=user_id, disabled=False)
    assert not (await service.admin_stub.SetUserDisabled(enable, metadata=service.admin)).user.disabled
    await service.login()


@pytest.mark.parametrize("keep", [False, True])
async def test_a_set_password_ends_sessions_unless_kept(service: ServiceUnderTest, keep: bool) -> None:
    """The old password is wrong from then on; the sessions end, or stay if so asked."""
    user_id = await service.add_user()
    token = (await service.login()).access_token
    request = pb.SetPasswordRequest(user_id=user_id, password="another password", keep_sessions=keep)
    answer = await service.admin_stub.SetPassword(request, metadata=service.admin)
    assert answer.revoked_count == (0 if keep else 1)
    if keep:
        await service.verify(token)
    else:
        with fails(UNAUTHENTICATED, "SESSION_ENDED"):
            await service.verify(token)
    with fails(UNAUTHENTICATED, "INVALID_CREDENTIALS"):
        await service.login()


async def test_operators_see_and_end_a_users_sessions(service: ServiceUnderTest) -> None:
    """Sessions of any user are listed and ended, one or all; another user's are out of reach."""
    user_id = await service.add_user("ada")
    await service.add_user("bob")
    first, second, third = [await service.login() for _ in range(3)]
    bobs = await service.login("bob")
    admin, key = service.admin_stub, service.admin
    page = await admin.ListUserSessions(pb.ListUserSessionsRequest(user_id=user_id), metadata=key)
    assert [each.session_id for each in page.sessions] == [
        third.session_id,
        second.session_id,
        first.session_id,
    ]
    assert not any(each.current for each in page.sessions)
    one = pb.RevokeUserSessionRequest(user_id=user_id, session_id=second.session_id)
    await admin.RevokeUserSession(one, metadata=key)
    with fails(NOT_FOUND, "SESSION_NOT_FOUND"):
        await admin.RevokeUserSession(one, metadata=key)
    with fails(NOT_FOUND, "SESSION_NOT_FOUND"):
        foreign = pb.RevokeUserSessionRequest(user_id=user_id, session_id=bobs.session_id)
        await admin.RevokeUserSession(foreign, metadata=key)
    everywhere = pb.RevokeUserSessionsRequest(user_id=user_id)
    assert (await admin.RevokeUserSessions(everywhere, metadata=key)).revoked_count == 2
    assert (await admin.RevokeUserSessions(everywhere, metadata=key)).revoked_count == 0
    for login in (first, second, third):
        with fails(UNAUTHENTICATED, "SESSION_ENDED"):
            await service.verify(login.access_token)
    await service.verify(bobs.access_token)


async def test_a_session_on_the_word_of_a_trusted_service(service: ServiceUnderTest) -> None:
    """A user who is not in the directory gets a session like any other, with the roles told."""
    phone = session_pb2.DeviceInfo(name="phone", ip_address="203.0.113.7")
    told = {"roles": ["editor"], "device": phone, "request_id": "r-1"}
    opened = await service.open_session("auth0|4711", **told)
    assert not opened.user.HasField("created_time")
    verified = await service.verify(opened.access_token)
    assert (verified.user_id, verified.username, list(verified.roles)) == ("auth0|4711", "ada", ["editor"])
    again = await service.open_session("auth0|4711", **told)
    assert (again.session_id, again.access_token) == (opened.session_id, opened.access_token)
    refresh = session_pb.RefreshTokenRequest(refresh_token=opened.refresh_token)
    assert (await service.sessions.RefreshToken(refresh)).session_id == opened.session_id
    page = await service.sessions.ListSessions(
        session_pb.ListSessionsRequest(), metadata=bearer(opened.access_token)
    )
    assert page.sessions[0].ip_address == "203.0.113.7"


async def test_a_hash_brought_from_elsewhere_logs_in_and_is_replaced(service: ServiceUnderTest) -> None:
    """An imported bcrypt hash verifies, under the id it had, and is argon2id after the login."""
    imported = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    request = pb.CreateUserRequest(user_id="legacy-7", username="ada", password_hash=imported)
    answer = await service.admin_stub.CreateUser(request, metadata=service.admin)
    assert answer.user.user_id == "legacy-7"
    await service.login()
    await service.login()
    bad = pb.CreateUserRequest(username="bob", password_hash="plain text")
    with fails(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT") as failure:
        await service.admin_stub.CreateUser(bad, metadata=service.admin)
    assert list(failure.fields) == ["password_hash"]


async def test_first_logins_at_once_with_a_hash_brought_from_elsewhere(service: ServiceUnderTest) -> None:
    """All of them get in, although only one can replace the hash that all were checked against."""
    imported = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    request = pb.CreateUserRequest(username="ada", password_hash=imported)
    await service.admin_stub.CreateUser(request, metadata=service.admin)
    opened = await asyncio.gather(*(service.login() for _ in range(5)))
    assert len({each.session_id for each in opened}) == 5


async def test_stats_follow_logins_and_logouts_without_a_sweep(service: ServiceUnderTest) -> None:
    """Totals move with each session created and ended; a sweep makes them exact again."""
    user_id = await service.add_user()
    for _ in range(3):
        await service.login()
    await service.admin_stub.RevokeUserSessions(
        pb.RevokeUserSessionsRequest(user_id=user_id), metadata=service.admin
    )
    await service.login()
    cleaned = await service.admin_stub.CleanUpSessions(pb.CleanUpSessionsRequest(), metadata=service.admin)
    assert (cleaned.scanned_entries, cleaned.removed_entries) == (1, 0)
    stats = await service.admin_stub.GetStats(pb.GetStatsRequest(), metadata=service.admin)
    assert (stats.active_sessions, stats.users) == (1, 1)
    assert stats.HasField("counted_time")


async def test_unknown_users_are_not_found(service: ServiceUnderTest) -> None:
    """What is about one user answers USER_NOT_FOUND where there is none."""
    for name in ("SetPassword", "SetUserRoles", "SetUserDisabled", "DeleteUser"):
        call: Any = getattr(service.admin_stub, name)
        with fails(NOT_FOUND, "USER_NOT_FOUND"):
            await call(CALLS[name], metadata=service.admin)
