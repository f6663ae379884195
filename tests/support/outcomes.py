"""What each of the five RPCs of a session's life answers at a moment, in one word each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, fields
from typing import Any, Final, Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from session_api.v1 import session_service_pb2 as pb

from tests.support.errors import Failure
from tests.support.service_client import PASSWORD, ServiceClient, bearer

OK: Final = "OK"
_PATIENCE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Outcomes:
    """``OK``, or the reason (without one the status) of what was answered instead."""

    login: str = OK
    refresh: str = OK
    verify: str = OK
    list: str = OK
    logout: str = OK

    @classmethod
    def all(cls, outcome: str) -> Self:
        """The same for every RPC."""
        return cls(*(outcome for _ in fields(cls)))


class Life:
    """A user with three sessions: one to refresh, one to log out, one that stays."""

    def __init__(self, client: ServiceClient, *sessions: pb.LoginResponse) -> None:
        self._client = client
        self._spare, self._ending, self.stays = sessions

    @classmethod
    async def begin(cls, client: ServiceClient, *, new_user: bool = True) -> Self:
        """Log in three times."""
        if new_user:
            await client.add_user()
        return cls(client, *[await client.login() for _ in range(3)])

    def through(self, client: ServiceClient) -> Self:
        """The same sessions, the calls made to another service."""
        return type(self)(client, self._spare, self._ending, self.stays)

    async def outcomes(self, timeout: float = _PATIENCE) -> Outcomes:
        """Make the five calls at once; none may take longer than ``timeout`` seconds."""
        stub, caller = self._client.sessions, bearer(self.stays.access_token)
        calls = (
            stub.Login(pb.LoginRequest(username="ada", password=PASSWORD), timeout=timeout),
            stub.RefreshToken(
                pb.RefreshTokenRequest(refresh_token=self._spare.refresh_token), timeout=timeout
            ),
            stub.VerifyToken(pb.VerifyTokenRequest(token=self.stays.access_token), timeout=timeout),
            stub.ListSessions(pb.ListSessionsRequest(), metadata=caller, timeout=timeout),
            stub.Logout(pb.LogoutRequest(), metadata=bearer(self._ending.access_token), timeout=timeout),
        )
        return Outcomes(*await asyncio.gather(*(outcome(call) for call in calls)))


async def outcome(call: Awaitable[Any]) -> str:
    """``OK``, or the reason of the failure, or its status where it tells no reason."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        failure = Failure()
        failure.read(error)
        return failure.reason or error.code().name
    return OK


async def is_serving(client: ServiceClient) -> bool:
    """Whether the service says that it is healthy."""
    stub: Any = health_pb2_grpc.HealthStub(client.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service="session.v1.SessionService"))
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def is_away(client: ServiceClient) -> bool:
    """Whether the service says that it is not healthy."""
    return not await is_serving(client)
