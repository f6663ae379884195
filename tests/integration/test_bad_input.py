"""Bad requests and hostile tokens: a named error of the 4xx kind, nothing stored, nothing lost."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from session_api.v1 import admin_service_pb2 as admin_pb
from session_api.v1 import session_pb2
from session_api.v1 import session_service_pb2 as pb

from tests.support import RedisServer
from tests.support.errors import fails
from tests.support.in_process import PASSWORD, ServiceUnderTest, bearer

INVALID = grpc.StatusCode.INVALID_ARGUMENT
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
DEVICE = session_pb2.DeviceInfo

LOGINS = {
    "empty": (pb.LoginRequest(), ["username", "password"]),
    "long name": (pb.LoginRequest(username="x" * 129, password=PASSWORD), ["username"]),
    "name grows when normalised": (pb.LoginRequest(username="\ufdfa" * 20, password=PASSWORD), ["username"]),
    "NUL in the name": (pb.LoginRequest(username="a\0b", password=PASSWORD), ["username"]),
    "new line in the name": (pb.LoginRequest(username="a\nb", password=PASSWORD), ["username"]),
    "blank in the name": (pb.LoginRequest(username="a b", password=PASSWORD), ["username"]),
    "right-to-left override": (pb.LoginRequest(username="a\u202eb", password=PASSWORD), ["username"]),
    "long password": (pb.LoginRequest(username="ada", password="x" * 257), ["password"]),
    "long request id": (
        pb.LoginRequest(username="ada", password=PASSWORD, request_id="x" * 65),
        ["request_id"],
    ),
    "blank in the request id": (
        pb.LoginRequest(username="ada", password=PASSWORD, request_id="a b"),
        ["request_id"],
    ),
    "long device id": (
        pb.LoginRequest(username="ada", password=PASSWORD, device=DEVICE(device_id="x" * 129)),
        ["device.device_id"],
    ),
    "huge device": (
        pb.LoginRequest(
            username="ada", password=PASSWORD, device=DEVICE(name="x", user_agent="\U0001f600" * 1024)
        ),
        ["device"],
    ),
    "control characters in the device": (
        pb.LoginRequest(username="ada", password=PASSWORD, device=DEVICE(name="a\x1b[2J", platform="\x7f")),
        ["device.name", "device.platform"],
    ),
    "no address": (
        pb.LoginRequest(username="ada", password=PASSWORD, device=DEVICE(ip_address="nowhere")),
        ["device.ip_address"],
    ),
}


@pytest.mark.parametrize("case", sorted(LOGINS))
async def test_a_bad_login_names_every_wrong_field(
    service: ServiceUnderTest, redis_server: RedisServer, case: str
) -> None:
    """Each wrong field is named, and the store holds what it held before."""
    await service.add_user()
    request, expected = LOGINS[case]
    with fails(INVALID, "INVALID_ARGUMENT") as failure:
        await service.sessions.Login(request)
    assert sorted(failure.fields) == sorted(expected)
    assert _state_keys(redis_server) == {"user", "username", "usernames"}


USERS = {
    "short password": (admin_pb.CreateUserRequest(username="ada", password="x" * 7), ["password"]),
    "long password": (admin_pb.CreateUserRequest(username="ada", password="x" * 257), ["password"]),
    "no credential": (admin_pb.CreateUserRequest(username="ada"), ["password"]),
    "braces in the id": (
        admin_pb.CreateUserRequest(username="ada", password=PASSWORD, user_id="a{b}"),
        ["user_id"],
    ),
    "bad roles": (
        admin_pb.CreateUserRequest(username="ada", password=PASSWORD, roles=["ok", "", "a b"]),
        ["roles[1]", "roles[2]"],
    ),
    "many roles": (
        admin_pb.CreateUserRequest(username="ada", password=PASSWORD, roles=["r"] * 33),
        ["roles"],
    ),
}


@pytest.mark.parametrize("case", sorted(USERS))
async def test_a_bad_user_is_not_added(
    service: ServiceUnderTest, redis_server: RedisServer, case: str
) -> None:
    """Each wrong field is named, and nothing is stored."""
    request, expected = USERS[case]
    with fails(INVALID, "INVALID_ARGUMENT") as failure:
        await service.admin_stub.CreateUser(request, metadata=service.admin)
    assert sorted(failure.fields) == sorted(expected)
    assert _state_keys(redis_server) == set()


@pytest.mark.parametrize("token", ["nonsense", "bm9uc2Vuc2U", "\0", "A" * 5000, "c2Vzc2lvbgAxMgB4=", "é"])
async def test_page_tokens_of_ones_own_making_are_refused(service: ServiceUnderTest, token: str) -> None:
    """A page token that no answer gave is named as wrong, in every listing."""
    await service.add_user()
    caller = bearer((await service.login()).access_token)
    with fails(INVALID, "INVALID_ARGUMENT") as failure:
        await service.sessions.ListSessions(pb.ListSessionsRequest(page_token=token), metadata=caller)
    assert list(failure.fields) == ["page_token"]
    with fails(INVALID, "INVALID_ARGUMENT") as failure:
        await service.admin_stub.ListUsers(
            admin_pb.ListUsersRequest(page_token=token), metadata=service.admin
        )
    assert list(failure.fields) == ["page_token"]


async def test_page_sizes_are_bounded(service: ServiceUnderTest) -> None:
    """A negative page size is wrong; one over the limit is the limit."""
    opened = await service.open_session()
    caller = bearer(opened.access_token)
    with fails(INVALID, "INVALID_ARGUMENT") as failure:
        await service.sessions.ListSessions(pb.ListSessionsRequest(page_size=-1), metadata=caller)
    assert list(failure.fields) == ["page_size"]
    page = await service.sessions.ListSessions(pb.ListSessionsRequest(page_size=10**9), metadata=caller)
    assert page.total_size == 1


async def test_a_malformed_session_id_is_named(service: ServiceUnderTest) -> None:
    """A session id of another form is a wrong argument, not one that is not found."""
    caller = bearer((await service.open_session()).access_token)
    for session_id in ("", "short", "x" * 23, "../" + "x" * 19, "A" * 21 + "\n"):
        with fails(INVALID, "INVALID_ARGUMENT") as failure:
            await service.sessions.RevokeSession(
                pb.RevokeSessionRequest(session_id=session_id), metadata=caller
            )
        assert list(failure.fields) == ["session_id"]


@pytest.mark.parametrize("raw", [b"\xff\xff\xff", b"\x0a\x02\xc3\x28", b"\x0a\xff\x01"])
async def test_bytes_that_are_no_message_are_an_invalid_argument(
    service: ServiceUnderTest, raw: bytes
) -> None:
    """Broken protobuf and invalid UTF-8 are INVALID_ARGUMENT, where gRPC would say UNKNOWN."""
    call: Any = service.channel.unary_unary("/session.v1.SessionService/Login")
    with fails(INVALID, "INVALID_ARGUMENT") as failure:
        await call(raw)
    assert list(failure.fields) == ["request"]


async def test_too_large_a_message_or_metadata_is_refused_by_name(service: ServiceUnderTest) -> None:
    """Over 64 KiB of request or 16 KiB of metadata the call is RESOURCE_EXHAUSTED; the server lives."""
    with pytest.raises(grpc.RpcError) as refused:
        await service.sessions.Login(pb.LoginRequest(username="x" * 70_000, password=PASSWORD))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    with pytest.raises(grpc.RpcError) as refused:
        await service.sessions.VerifyToken(
            pb.VerifyTokenRequest(), metadata=(("authorization", "Bearer " + "x" * 20_000),)
        )
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await service.verify((await service.open_session()).access_token)


async def test_one_kind_of_token_does_not_do_for_the_other(service: ServiceUnderTest) -> None:
    """A refresh token is no access token, an access token no refresh token; neither is harmed."""
    opened = await service.open_session()
    with fails(UNAUTHENTICATED, "TOKEN_INVALID"):
        await service.verify(opened.refresh_token)
    for token in (opened.access_token, "", "x", opened.refresh_token[:-1], opened.refresh_token + "A"):
        with fails(UNAUTHENTICATED, "REFRESH_TOKEN_INVALID"):
            await service.sessions.RefreshToken(pb.RefreshTokenRequest(refresh_token=token))
    await service.verify(opened.access_token)
    await service.sessions.RefreshToken(pb.RefreshTokenRequest(refresh_token=opened.refresh_token))


@pytest.mark.parametrize("change", ["{}=", " {}", "{}\n", "{}.e30.e30", "Bearer {}", "{}\0", "x{}", "{}é"])
async def test_a_token_is_one_string_only(service: ServiceUnderTest, change: str) -> None:
    """Any other spelling of a good token is TOKEN_INVALID (PyJWT takes a trailing ``=``)."""
    token = (await service.open_session()).access_token
    with fails(UNAUTHENTICATED, "TOKEN_INVALID"):
        await service.verify(change.format(token))


async def test_a_megabyte_of_token_is_refused(service: ServiceUnderTest) -> None:
    """A token beyond the message limit never reaches the check; one within it is TOKEN_INVALID."""
    with pytest.raises(grpc.RpcError) as refused:
        await service.verify("A" * 1_000_000)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    with fails(UNAUTHENTICATED, "TOKEN_INVALID"):
        await service.verify("A" * 60_000)


def _state_keys(redis_server: RedisServer) -> set[str]:
    """The families of keys that hold state, besides counters and the audit trail."""
    with redis_server.client() as client:
        families = {key.decode().split(":")[0] for key in client.scan_iter()}
    return families - {"session_events", "session_stats", "sweep_lock", "audit_writer"}
