"""A login's life, as any program in Python would live it."""

from __future__ import annotations

import time
from typing import Final

import grpc
from session_api.v1 import admin_service_pb2 as admin_pb
from session_api.v1 import session_pb2
from session_api.v1 import session_service_pb2 as pb
from session_api.v1.admin_service_pb2_grpc import AdminServiceStub
from session_api.v1.session_service_pb2_grpc import SessionServiceStub

from tests.interop.python.transcript import attempt, report
from tests.interop.python.wire import wire

Metadata = tuple[tuple[str, str], ...]

USERNAME: Final = "zoë"
PASSWORD: Final = "correct horse battery"


def served(channel: grpc.Channel, key: str) -> None:
    """Go through a login's life, then through what the wire can do."""
    admin, admin_stub = (("x-service-key", key),), AdminServiceStub(channel)
    sessions = SessionServiceStub(channel)
    _users(admin_stub, admin)
    _refused_logins(sessions)
    login = _log_in(sessions)
    _use(sessions, login)
    wire(channel, login.access_token)
    _end(sessions, login)
    _throttled(sessions)
    _stats(admin_stub, admin)


def _bearer(token: str) -> Metadata:
    return (("authorization", f"Bearer {token}"),)


def _users(service: AdminServiceStub, admin: Metadata) -> None:
    user = admin_pb.CreateUserRequest(username=USERNAME, password=PASSWORD, roles=["reader", "writer"])
    created = service.CreateUser(user, metadata=admin).user
    report(
        "create user",
        username=created.username,
        roles=list(created.roles),
        created=created.HasField("created_time"),
    )
    attempt("create user again", service.CreateUser, user, metadata=admin)
    attempt("operator without a key", service.GetStats, admin_pb.GetStatsRequest())


def _refused_logins(service: SessionServiceStub) -> None:
    wrong = pb.LoginRequest(username=USERNAME, password="wrong")
    attempt("login with a wrong password", service.Login, wrong)
    bad = pb.LoginRequest(username="a b", device=session_pb2.DeviceInfo(ip_address="nowhere"))
    attempt("login with bad fields", service.Login, bad)


def _log_in(service: SessionServiceStub) -> pb.LoginResponse:
    device = session_pb2.DeviceInfo(device_id="d-1", name="Büro 🖥")
    login = service.Login(pb.LoginRequest(username=USERNAME, password=PASSWORD, device=device))
    report(
        "login",
        token_type=login.token_type,
        expires_in=login.expires_in,
        session_hours=round((login.session_expire_time.seconds - time.time()) / 3600),
        username=login.user.username,
        roles=list(login.user.roles),
        new_device=login.new_device,
    )
    return login


def _use(service: SessionServiceStub, login: pb.LoginResponse) -> None:
    caller = _bearer(login.access_token)
    checked = service.VerifyToken(pb.VerifyTokenRequest(), metadata=caller)
    report(
        "check by metadata",
        username=checked.username,
        roles=list(checked.roles),
        same_session=checked.session_id == login.session_id,
    )
    checked = service.VerifyToken(pb.VerifyTokenRequest(token=login.access_token))
    report("check by field", same_user=checked.user_id == login.user.user_id)
    page = service.ListSessions(pb.ListSessionsRequest(), metadata=caller)
    devices = [
        {"id": each.device.device_id, "name": each.device.name, "current": each.current}
        for each in page.sessions
    ]
    report("list", total_size=page.total_size, devices=devices)
    attempt("login over the limit", service.Login, pb.LoginRequest(username=USERNAME, password=PASSWORD))
    unknown = pb.RevokeSessionRequest(session_id="A" * 22)
    attempt("revoke a session that is not there", service.RevokeSession, unknown, metadata=caller)
    refreshed = service.RefreshToken(pb.RefreshTokenRequest(refresh_token=login.refresh_token))
    report(
        "refresh",
        same_session=refreshed.session_id == login.session_id,
        new_token=refreshed.access_token != login.access_token,
    )


def _end(service: SessionServiceStub, login: pb.LoginResponse) -> None:
    caller = _bearer(login.access_token)
    attempt("logout", service.Logout, pb.LogoutRequest(), metadata=caller)
    attempt("check after logout", service.VerifyToken, pb.VerifyTokenRequest(), metadata=caller)
    refresh = pb.RefreshTokenRequest(refresh_token=login.refresh_token)
    attempt("refresh after logout", service.RefreshToken, refresh)
    attempt("check without a token", service.VerifyToken, pb.VerifyTokenRequest())
    attempt("check of nonsense", service.VerifyToken, pb.VerifyTokenRequest(token="nonsense"))


def _throttled(service: SessionServiceStub) -> None:
    """Guess until the service has had enough, which it has after two (as configured)."""
    for number in (1, 2, 3):
        guess = pb.LoginRequest(username="nobody", password="guess")
        attempt(f"guess {number}", service.Login, guess)


def _stats(service: AdminServiceStub, admin: Metadata) -> None:
    """Read 64-bit numbers; a session is counted a moment after it has begun."""
    while not (answer := service.GetStats(admin_pb.GetStatsRequest(), metadata=admin)).created_sessions:
        pass
    report("stats", users=answer.users, counted=answer.created_sessions > 0)
