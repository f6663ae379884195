"""The whole service inside a test's own event loop: real gRPC over a socket, real Redis.

For tests about what calls answer; tests about processes use ``service_process``.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from prometheus_client import CollectorRegistry
from session_api.v1 import admin_service_pb2 as admin_pb
from session_api.v1 import session_service_pb2 as pb
from session_api.v1.admin_service_pb2_grpc import AdminServiceStub
from session_api.v1.session_service_pb2_grpc import SessionServiceStub

from session_service.app import Service, make_metrics
from session_service.config import Config
from session_service.domain.service_keys import new_service_key, service_key_digest
from session_service.serving import running
from session_service.tokens.keys import new_document

if TYPE_CHECKING:
    from session_api.v1.admin_service_pb2_grpc import AdminServiceAsyncStub
    from session_api.v1.session_service_pb2_grpc import SessionServiceAsyncStub

ADMIN_KEY = new_service_key()
PASSWORD = "correct horse battery"


@dataclass(frozen=True, slots=True)
class ServiceUnderTest:
    """A running service, its stubs, and shortcuts for what nearly every test begins with."""

    address: str
    channel: grpc.aio.Channel
    sessions: SessionServiceAsyncStub
    admin_stub: AdminServiceAsyncStub
    service: Service
    registry: CollectorRegistry
    key_document: Mapping[str, Any]

    @property
    def admin(self) -> tuple[tuple[str, str], ...]:
        """Metadata with the admin key."""
        return (("x-service-key", ADMIN_KEY),)

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


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """Metadata with an access token."""
    return (("authorization", f"Bearer {token}"),)


@contextlib.asynccontextmanager
async def in_process(
    redis: Mapping[str, Any], directory: Path, **sections: Mapping[str, Any]
) -> AsyncIterator[ServiceUnderTest]:
    """Run the service.

    Args:
        redis: the section ``redis`` of its configuration.
        directory: for its key file.
        **sections: further sections, such as ``session={"max_sessions": 3}``.
    """
    document = new_document("HS256")
    key_file = directory / "keys.json"
    key_file.write_text(json.dumps(document))
    admin_key = {"name": "tests", "digest": service_key_digest(ADMIN_KEY), "roles": ["admin"]}
    raw: dict[str, Any] = {
        "redis": redis,
        "tokens": {"key_file": key_file},
        "admin": {"service_keys": [admin_key]},
        "server": {"listen": "127.0.0.1:0", "reflection": True, "shutdown_grace": 2},
    }
    for name, values in sections.items():
        raw[name] = {**raw.get(name, {}), **values}
    registry = CollectorRegistry()
    async with (
        running(Config.model_validate(raw), make_metrics(registry)) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        yield ServiceUnderTest(
            server.address,
            channel,
            SessionServiceStub(channel),
            AdminServiceStub(channel),
            server.service,
            registry,
            document,
        )
