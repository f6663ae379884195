"""What AsyncSessionClient sends and what it makes of the answers; SessionClient does the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from session_api.v1 import session_pb2
from session_api.v1 import session_service_pb2 as pb
from session_client import (
    AsyncSessionClient,
    Device,
    Identity,
    InvalidArgument,
    Login,
    Session,
    SessionEnded,
    TokenError,
    TokenExpired,
    TokenInvalid,
    Tokens,
    User,
)

from session_service.domain import errors
from tests.support.scripted_service import ScriptedService

NOON = datetime(2030, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC)
STAMP = Timestamp(seconds=1_893_499_200, nanos=250_000_000)


def test_the_two_ways_to_write_noon_agree() -> None:
    """The instants that the other tests compare are the same one."""
    assert STAMP.ToDatetime(UTC) == NOON


async def test_login(client: AsyncSessionClient, service: ScriptedService) -> None:
    """Login sends credentials, device and service key, and gives tokens, session and user."""
    user = session_pb2.User(user_id="u1", username="Ann", roles=["a", "b"], created_time=STAMP)
    service.script(
        "Login",
        pb.LoginResponse(
            access_token="at",
            token_type="Bearer",
            expires_in=1800,
            refresh_token="rt",
            session_id="s1",
            session_expire_time=STAMP,
            user=user,
            new_device=True,
        ),
    )
    device = Device("d1", "Ann's phone", "ios", "agent/1", "2.0", "192.0.2.7")
    login = await client.login("ann", " pässword ", device=device, request_id="r1")

    (call,) = service.calls
    assert call.request == pb.LoginRequest(
        username="ann",
        password=" pässword ",
        request_id="r1",
        device=session_pb2.DeviceInfo(
            device_id="d1",
            name="Ann's phone",
            platform="ios",
            user_agent="agent/1",
            app_version="2.0",
            ip_address="192.0.2.7",
        ),
    )
    assert call.metadata["x-service-key"] == "the-key"
    assert login == Login(
        access_token="at",
        token_type="Bearer",
        expires_in=timedelta(minutes=30),
        refresh_token="rt",
        session_id="s1",
        session_expire_time=NOON,
        user=User("u1", "Ann", ("a", "b"), disabled=False, created_time=NOON),
        new_device=True,
    )


async def test_each_login_has_a_request_id_of_its_own(
    client: AsyncSessionClient, service: ScriptedService
) -> None:
    """Two logins without a request id are two sessions, and each may be repeated by itself."""
    await client.login("ann", "pw")
    await client.login("ann", "pw")

    ids = {call.request.request_id for call in service.calls}
    assert len(ids) == 2
    assert all(len(request_id) == 32 for request_id in ids)


async def test_refresh_token(client: AsyncSessionClient, service: ScriptedService) -> None:
    """A refresh sends the refresh token, no other credential, and gives the next pair."""
    service.script(
        "RefreshToken",
        pb.RefreshTokenResponse(
            access_token="at2",
            token_type="Bearer",
            expires_in=60,
            refresh_token="rt2",
            session_id="s1",
            session_expire_time=STAMP,
        ),
    )
    tokens = await client.refresh_token("rt1")

    (call,) = service.calls
    assert call.request == pb.RefreshTokenRequest(refresh_token="rt1")
    assert call.metadata.keys().isdisjoint({"authorization", "x-service-key"})
    assert tokens == Tokens("at2", "Bearer", timedelta(minutes=1), "rt2", "s1", NOON)


async def test_verify_token(client: AsyncSessionClient, service: ScriptedService) -> None:
    """A check gives the identity behind the token; the service key stays at home."""
    service.script(
        "VerifyToken",
        pb.VerifyTokenResponse(
            session_id="s1",
            user_id="u1",
            username="ann",
            roles=["a"],
            token_expire_time=STAMP,
            session_expire_time=STAMP,
            last_active_time=STAMP,
        ),
    )
    identity = await client.verify_token("at")

    (call,) = service.calls
    assert call.request == pb.VerifyTokenRequest(token="at")
    assert call.metadata.keys().isdisjoint({"authorization", "x-service-key"})
    assert identity == Identity("s1", "u1", "ann", ("a",), NOON, NOON, NOON)


async def test_verify_token_from_memory(client: AsyncSessionClient, service: ScriptedService) -> None:
    """How stale the answer may be goes with the request; what the service would refuse is not sent."""
    await client.verify_token("at", max_staleness=1.5)
    with pytest.raises(InvalidArgument, match="max_staleness"):
        await client.verify_token("at", max_staleness=61)

    (call,) = service.calls
    assert call.request == pb.VerifyTokenRequest(
        token="at", max_staleness=Duration(seconds=1, nanos=500_000_000)
    )


async def test_list_sessions(client: AsyncSessionClient, service: ScriptedService) -> None:
    """A page has the sessions, where the next page is, and how many there are in all."""
    listed = session_pb2.Session(
        session_id="s1",
        user_id="u1",
        username="ann",
        device=session_pb2.DeviceInfo(name="phone"),
        ip_address="192.0.2.7",
        created_time=STAMP,
        last_active_time=STAMP,
        expire_time=STAMP,
        current=True,
    )
    service.script(
        "ListSessions", pb.ListSessionsResponse(sessions=[listed], next_page_token="p2", total_size=5)
    )
    page = await client.list_sessions("at", page_size=1, page_token="p1")

    (call,) = service.calls
    assert call.request == pb.ListSessionsRequest(page_size=1, page_token="p1")
    assert call.metadata["authorization"] == "Bearer at"
    device = Device(name="phone")
    assert page.items == (Session("s1", "u1", "ann", device, "192.0.2.7", NOON, NOON, NOON, current=True),)
    assert (page.next_page_token, page.total_size) == ("p2", 5)


async def test_iter_sessions(client: AsyncSessionClient, service: ScriptedService) -> None:
    """Iteration goes from page to page until there is none, even past an empty one."""
    service.script(
        "ListSessions",
        pb.ListSessionsResponse(
            sessions=[session_pb2.Session(session_id="1"), session_pb2.Session(session_id="2")],
            next_page_token="b",
        ),
        pb.ListSessionsResponse(next_page_token="c"),
        pb.ListSessionsResponse(sessions=[session_pb2.Session(session_id="3")]),
    )
    found = [session.session_id async for session in client.iter_sessions("at")]

    assert found == ["1", "2", "3"]
    assert [call.request.page_token for call in service.calls] == ["", "b", "c"]


async def test_iteration_fails_as_a_list_does(client: AsyncSessionClient, service: ScriptedService) -> None:
    """A session that ends between two pages ends the iteration with the same exception."""
    first = pb.ListSessionsResponse(sessions=[session_pb2.Session()], next_page_token="b")
    service.script("ListSessions", first, errors.SessionEnded())

    with pytest.raises(SessionEnded):
        _ = [session async for session in client.iter_sessions("at")]


async def test_logout(client: AsyncSessionClient, service: ScriptedService) -> None:
    """Logout ends the session that the token belongs to."""
    await client.logout("at")

    (call,) = service.calls
    assert call.name == "Logout"
    assert call.metadata["authorization"] == "Bearer at"


async def test_logout_of_an_ended_session_is_done(
    client: AsyncSessionClient, service: ScriptedService
) -> None:
    """Who logs out of a session that is over has what they want: a retry after a lost reply is no error."""
    service.script("Logout", errors.SessionEnded())

    await client.logout("at")


async def test_logout_with_an_expired_token_is_not_done(
    client: AsyncSessionClient, service: ScriptedService
) -> None:
    """An expired token does not end its session, so it must not look as if it had."""
    service.script("Logout", errors.TokenExpired())

    with pytest.raises(TokenExpired):
        await client.logout("at")


async def test_logout_all(client: AsyncSessionClient, service: ScriptedService) -> None:
    """Logging out everywhere says how many sessions that ended, and keeps the current one on request."""
    service.script("LogoutAll", pb.LogoutAllResponse(revoked_count=3))

    assert await client.logout_all("at") == 3
    assert await client.logout_all("at", keep_current=True) == 3
    assert [call.request.keep_current for call in service.calls] == [False, True]
    assert service.calls[0].metadata["authorization"] == "Bearer at"


async def test_revoke_session(client: AsyncSessionClient, service: ScriptedService) -> None:
    """Another session of the user ends by its id."""
    await client.revoke_session("at", "s2")

    (call,) = service.calls
    assert call.request == pb.RevokeSessionRequest(session_id="s2")
    assert call.metadata["authorization"] == "Bearer at"


async def test_change_password(client: AsyncSessionClient, service: ScriptedService) -> None:
    """Changing the password says how many other sessions that ended."""
    service.script("ChangePassword", pb.ChangePasswordResponse(revoked_count=2))

    assert await client.change_password("at", "old", "new") == 2
    assert await client.change_password("at", "old", "new", keep_other_sessions=True) == 2
    assert service.calls[0].request == pb.ChangePasswordRequest(current_password="old", new_password="new")
    assert service.calls[0].metadata["authorization"] == "Bearer at"
    assert service.calls[1].request.keep_other_sessions


@pytest.mark.parametrize("token", ["a b", "a\nb", "a\x00b", "é", "\ud800", "x" * 8193, "x" * 1_000_000])
async def test_a_token_that_cannot_be_sent_is_invalid(
    client: AsyncSessionClient, service: ScriptedService, token: str
) -> None:
    """A stranger's nonsense means "not logged in" in every call, and does not reach the network."""
    for call in (client.verify_token, client.logout, client.list_sessions):
        with pytest.raises(TokenInvalid):
            await call(token)
    assert not service.calls


async def test_an_empty_token_is_for_the_service_to_refuse(
    client: AsyncSessionClient, service: ScriptedService
) -> None:
    """Without a token there is no `authorization` at all, so that the service sees it is missing."""
    service.script("ListSessions", errors.TokenMissing())

    with pytest.raises(TokenError) as caught:
        await client.list_sessions("")
    assert caught.value.reason == "TOKEN_MISSING"
    assert "authorization" not in service.calls[0].metadata
