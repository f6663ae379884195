"""Every RPC of SessionService, through real gRPC and real Redis."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import grpc
from session_api.v1 import admin_service_pb2 as admin_pb
from session_api.v1 import session_pb2
from session_api.v1 import session_service_pb2 as pb

from tests.support import RedisServer, eventually_async
from tests.support.errors import fails
from tests.support.in_process import PASSWORD, ServiceUnderTest, bearer

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED


async def test_a_login_gives_tokens_and_says_whose_they_are(service: ServiceUnderTest) -> None:
    """A login answers with both tokens, their lives, the session and the user."""
    user_id = await service.add_user(roles=("editor",))
    answer = await service.login()
    assert answer.token_type == "Bearer"
    assert 1790 <= answer.expires_in <= 1800
    assert 86_390 < answer.session_expire_time.seconds - time.time() <= 86_401
    assert (answer.user.user_id, answer.user.username, list(answer.user.roles)) == (
        user_id,
        "ada",
        ["editor"],
    )
    verified = await service.verify(answer.access_token)
    assert (verified.session_id, verified.user_id) == (answer.session_id, user_id)
    assert list(verified.roles) == ["editor"]
    assert verified.token_expire_time.seconds - time.time() > 1700


async def test_a_name_is_compared_without_case_and_a_password_as_it_is(service: ServiceUnderTest) -> None:
    """The same user logs in as ADA; the password with other case is wrong (ASVS 6.2.8)."""
    await service.add_user("Ada")
    assert (await service.login("aDA")).user.username == "Ada"
    with fails(UNAUTHENTICATED, "INVALID_CREDENTIALS"):
        await service.sessions.Login(pb.LoginRequest(username="ada", password=PASSWORD.upper()))


async def test_wrong_unknown_and_disabled_get_one_answer(service: ServiceUnderTest) -> None:
    """A wrong password, an unknown and a disabled user cannot be told apart (ASVS 6.3.8)."""
    user_id = await service.add_user("bob")
    disable = admin_pb.SetUserDisabledRequest(user_id=user_id, disabled=True)
    await service.add_user("ada")
    await service.admin_stub.SetUserDisabled(disable, metadata=service.admin)
    answers = set()
    for username, password in (("ada", "wrong password"), ("nobody", PASSWORD), ("bob", PASSWORD)):
        with fails(UNAUTHENTICATED, "INVALID_CREDENTIALS") as failure:
            await service.sessions.Login(pb.LoginRequest(username=username, password=password))
        answers.add((failure.message, tuple(failure.fields)))
    assert len(answers) == 1


async def test_a_new_device_is_marked_once(service: ServiceUnderTest) -> None:
    """The first login from a device says so, the second does not; another device is new again."""
    await service.add_user()
    phone, laptop = session_pb2.DeviceInfo(device_id="phone"), session_pb2.DeviceInfo(device_id="laptop")
    marks = [(await service.login(device=device)).new_device for device in (phone, phone, laptop, phone)]
    assert marks == [True, False, True, False]


async def test_a_logout_counts_at_once(service: ServiceUnderTest) -> None:
    """After Logout the token is SESSION_ENDED everywhere, and so is a second Logout."""
    await service.add_user()
    token = (await service.login()).access_token
    await service.sessions.Logout(pb.LogoutRequest(), metadata=bearer(token))
    for call in (
        service.verify(token),
        service.sessions.ListSessions(pb.ListSessionsRequest(), metadata=bearer(token)),
        service.sessions.Logout(pb.LogoutRequest(), metadata=bearer(token)),
    ):
        with fails(UNAUTHENTICATED, "SESSION_ENDED"):
            await call


async def test_a_token_may_come_in_the_metadata(service: ServiceUnderTest) -> None:
    """VerifyToken without a token in the request takes the caller's own; the scheme has no case."""
    await service.add_user()
    token = (await service.login()).access_token
    for scheme in ("Bearer", "bearer"):
        metadata = (("authorization", f"{scheme} {token}"),)
        await service.sessions.VerifyToken(pb.VerifyTokenRequest(), metadata=metadata)
    with fails(UNAUTHENTICATED, "TOKEN_MISSING"):
        await service.sessions.VerifyToken(pb.VerifyTokenRequest())
    for bad in ((("authorization", f"Basic {token}"),), bearer(token) * 2):
        with fails(UNAUTHENTICATED, "TOKEN_INVALID"):
            await service.sessions.VerifyToken(pb.VerifyTokenRequest(), metadata=bad)


async def test_sessions_are_listed_newest_activity_first_in_pages(service: ServiceUnderTest) -> None:
    """Pages follow each other without gap or repeat, and mark the caller's own session."""
    await service.add_user()
    logins = [await service.login(device=session_pb2.DeviceInfo(name=f"d{n}")) for n in range(5)]
    caller = bearer(logins[0].access_token)
    listed: list[session_pb2.Session] = []
    token = ""
    while True:
        request = pb.ListSessionsRequest(page_size=2, page_token=token)
        page = await service.sessions.ListSessions(request, metadata=caller)
        assert page.total_size == 5
        listed += page.sessions
        token = page.next_page_token
        if not token:
            break
    assert [each.session_id for each in listed] == [each.session_id for each in reversed(logins)]
    assert [each.current for each in listed] == [False] * 4 + [True]
    assert [each.device.name for each in listed] == ["d4", "d3", "d2", "d1", "d0"]
    assert listed[0].ip_address == "127.0.0.1"


async def test_one_ends_ones_own_sessions_only(service: ServiceUnderTest) -> None:
    """Another user's session is NOT_FOUND like an unknown one, and stays alive."""
    await service.add_user("ada")
    await service.add_user("eve")
    mine, other, eves = await service.login(), await service.login(), await service.login("eve")
    revoke = service.sessions.RevokeSession
    for session_id in (eves.session_id, "A" * 22):
        with fails(grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND"):
            await revoke(pb.RevokeSessionRequest(session_id=session_id), metadata=bearer(mine.access_token))
    await service.verify(eves.access_token)
    await revoke(pb.RevokeSessionRequest(session_id=other.session_id), metadata=bearer(mine.access_token))
    with fails(UNAUTHENTICATED, "SESSION_ENDED"):
        await service.verify(other.access_token)
    await service.verify(mine.access_token)


async def test_logout_all_spares_the_current_one_if_asked(service: ServiceUnderTest) -> None:
    """keep_current ends the others and counts them; without it the caller's ends too."""
    await service.add_user()
    first, *others = [await service.login() for _ in range(4)]
    caller = bearer(first.access_token)
    kept = await service.sessions.LogoutAll(pb.LogoutAllRequest(keep_current=True), metadata=caller)
    assert kept.revoked_count == 3
    for other in others:
        with fails(UNAUTHENTICATED, "SESSION_ENDED"):
            await service.verify(other.access_token)
    everything = await service.sessions.LogoutAll(pb.LogoutAllRequest(), metadata=caller)
    assert everything.revoked_count == 1
    with fails(UNAUTHENTICATED, "SESSION_ENDED"):
        await service.verify(first.access_token)


async def test_a_refresh_token_is_for_one_use(service: ServiceUnderTest) -> None:
    """The successor works, the earlier access token lives on, and so does the session."""
    await service.add_user()
    login = await service.login()
    second = await service.sessions.RefreshToken(pb.RefreshTokenRequest(refresh_token=login.refresh_token))
    third = await service.sessions.RefreshToken(pb.RefreshTokenRequest(refresh_token=second.refresh_token))
    assert len({login.refresh_token, second.refresh_token, third.refresh_token}) == 3
    for token in (login.access_token, second.access_token, third.access_token):
        assert (await service.verify(token)).session_id == login.session_id
    with fails(UNAUTHENTICATED, "REFRESH_TOKEN_REUSED"):
        await service.sessions.RefreshToken(pb.RefreshTokenRequest(refresh_token=login.refresh_token))
    for token in (login.access_token, second.access_token, third.access_token):
        with fails(UNAUTHENTICATED, "SESSION_ENDED"):
            await service.verify(token)
    with fails(UNAUTHENTICATED, "REFRESH_TOKEN_INVALID"):
        await service.sessions.RefreshToken(pb.RefreshTokenRequest(refresh_token=third.refresh_token))


async def test_two_racing_tabs_get_equal_answers(service: ServiceUnderTest) -> None:
    """Concurrent refreshes give one rotation, one successor and no false theft."""
    await service.add_user()
    login = await service.login()
    request = pb.RefreshTokenRequest(refresh_token=login.refresh_token)
    answers = await asyncio.gather(*(service.sessions.RefreshToken(request) for _ in range(20)))
    assert len({(answer.access_token, answer.refresh_token) for answer in answers}) == 1
    await service.verify(answers[0].access_token)


async def test_the_same_request_id_gives_the_same_session(service: ServiceUnderTest) -> None:
    """A login repeated under its request id is one session, also when repeated at once (I7)."""
    await service.add_user()
    answers = await asyncio.gather(*(service.login(request_id="r-1") for _ in range(5)))
    assert len({(each.session_id, each.access_token, each.refresh_token) for each in answers}) == 1
    listed = await service.sessions.ListSessions(
        pb.ListSessionsRequest(), metadata=bearer(answers[0].access_token)
    )
    assert listed.total_size == 1
    assert (await service.login(request_id="r-2")).session_id != answers[0].session_id


async def test_a_repeated_login_does_not_bring_an_ended_session_back(service: ServiceUnderTest) -> None:
    """The request id of a session that has ended answers SESSION_ENDED (I4)."""
    await service.add_user()
    login = await service.login(request_id="r-1")
    await service.sessions.Logout(pb.LogoutRequest(), metadata=bearer(login.access_token))
    with fails(UNAUTHENTICATED, "SESSION_ENDED"):
        await service.login(request_id="r-1")


async def test_a_password_change_ends_the_other_sessions(service: ServiceUnderTest) -> None:
    """The current password is asked for; the others end, the caller's stays (ASVS 6.2.3, 7.4.3)."""
    await service.add_user()
    mine, other = await service.login(), await service.login()
    change = service.sessions.ChangePassword
    caller = bearer(mine.access_token)
    with fails(UNAUTHENTICATED, "INVALID_CREDENTIALS"):
        await change(
            pb.ChangePasswordRequest(current_password="wrong one", new_password="a new password"),
            metadata=caller,
        )
    answer = await change(
        pb.ChangePasswordRequest(current_password=PASSWORD, new_password="a new password"), metadata=caller
    )
    assert answer.revoked_count == 1
    await service.verify(mine.access_token)
    with fails(UNAUTHENTICATED, "SESSION_ENDED"):
        await service.verify(other.access_token)
    with fails(UNAUTHENTICATED, "INVALID_CREDENTIALS"):
        await service.login()
    await service.sessions.Login(pb.LoginRequest(username="ada", password="a new password"))


async def test_a_stolen_token_is_no_way_to_guess_the_password(
    service: ServiceUnderTest, redis_server: RedisServer
) -> None:
    """Wrong current passwords are recorded, then throttled, and do not keep the owner from logging in."""
    await service.add_user()
    stolen = await service.login()
    change = service.sessions.ChangePassword
    guess = pb.ChangePasswordRequest(current_password="wrong one", new_password="a new password")
    for _ in range(10):
        with fails(UNAUTHENTICATED, "INVALID_CREDENTIALS"):
            await change(guess, metadata=bearer(stolen.access_token))
    with fails(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_ATTEMPTS"):
        await change(guess, metadata=bearer(stolen.access_token))
    await service.login()

    def recorded() -> Counter[bytes]:
        with redis_server.client() as client:
            events = [event for _, event in client.xrange("session_events")]
        return Counter(each[b"action"] for each in events if each.get(b"detail") == b"password_change")

    await eventually_async(lambda: recorded() == {b"login_failed": 10, b"login_throttled": 1})
