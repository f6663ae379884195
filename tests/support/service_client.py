"""A client of a running service: its stubs, and shortcuts for what nearly every test begins with."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import grpc
from session_api.v1 import admin_service_pb2 as admin_pb
from session_api.v1 import session_service_pb2 as pb
from session_api.v1.admin_service_pb2_grpc import AdminServiceStub
from session_api.v1.session_service_pb2_grpc import SessionServiceStub

if TYPE_CHECKING:
    from session_api.v1.admin_service_pb2_grpc import AdminServiceAsyncStub
    from session_api.v1.session_service_pb2_grpc import SessionServiceAsyncStub

PASSWORD: Final = "correct horse battery"
# Else all channels of this process to one address share a connection.
_OWN_CONNECTION: Final = [("grpc.use_local_subchannel_pool", 1)]

Metadata = tuple[tuple[str, str], ...]


def bearer(token: str) -> Metadata:
    """Metadata with an access token."""
    return (("authorization", f"Bearer {token}"),)


@dataclass(frozen=True, slots=True)
class ServiceClient:
    """One connection to a service, and the key of an operator.

    Args:
        address: host and port, or ``unix:path``.
        channel: what the stubs speak through.
        sessions: end users' own RPCs.
        admin_stub: operators' RPCs; they need the metadata ``admin``.
        admin: metadata with the operator's key.
    """

    address: str
    channel: grpc.aio.Channel
    sessions: SessionServiceAsyncStub
    admin_stub: AdminServiceAsyncStub
    admin: Metadata

    async def add_user(self, username: str = "ada", roles: tuple[str, ...] = ()) -> str:
        """Add a user whose password is ``PASSWORD``; returns the user id."""
        request = admin_pb.CreateUserRequest(username=username, password=PASSWORD, roles=roles)
        answer = await self.admin_stub.CreateUser(request, metadata=self.admin)
        return answer.user.user_id

    async def login(self, username: str = "ada", **fields: Any) -> pb.LoginResponse:
        """Log the user in."""
        request = pb.LoginRequest(username=username, password=PASSWORD, **fields)
        return await self.sessions.Login(request)

    async def open_session(self, user_id: str = "u-1", **fields: Any) -> admin_pb.CreateSessionResponse:
        """Open a session without a password; cheap, for tests that need many."""
        request = admin_pb.CreateSessionRequest(user_id=user_id, username="ada", **fields)
        return await self.admin_stub.CreateSession(request, metadata=self.admin)

    async def verify(self, token: str) -> pb.VerifyTokenResponse:
        """Check a token."""
        return await self.sessions.VerifyToken(pb.VerifyTokenRequest(token=token))

    async def refresh(self, refresh_token: str) -> pb.RefreshTokenResponse:
        """Trade a refresh token in."""
        return await self.sessions.RefreshToken(pb.RefreshTokenRequest(refresh_token=refresh_token))

    async def logout(self, token: str) -> None:
        """End the token's session."""
        await self.sessions.Logout(pb.LogoutRequest(), metadata=bearer(token))


@contextlib.asynccontextmanager
async def connect(address: str, admin_key: str) -> AsyncIterator[ServiceClient]:
    """Open a connection of its own to a service.

    Args:
        address: where it listens.
        admin_key: an operator's ``x-service-key``.
    """
    async with grpc.aio.insecure_channel(address, options=_OWN_CONNECTION) as channel:
        sessions, admin_stub = SessionServiceStub(channel), AdminServiceStub(channel)
        yield ServiceClient(address, channel, sessions, admin_stub, (("x-service-key", admin_key),))
