"""What users and operators do, each act a recorded call; and what happens to tokens behind their backs."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

import grpc
from redis.asyncio import Redis
from redis.exceptions import RedisError
from session_api.v1 import admin_service_pb2 as admin_pb
from session_api.v1 import session_service_pb2 as pb

from session_service.storage import keys
from tests.support.histories.calls import Call, Effect, Outcome, is_within
from tests.support.histories.client import Client
from tests.support.histories.ways import TIMEOUTS, judged
from tests.support.service_client import ServiceClient, bearer

_REFUSALS: Final = {
    "SESSION_ENDED",
    "TOKEN_EXPIRED",
    "REFRESH_TOKEN_INVALID",
    "REFRESH_TOKEN_REUSED",
    "SESSION_NOT_FOUND",
    "USER_NOT_FOUND",
    "INVALID_CREDENTIALS",
}
_REUSED: Final = "REFRESH_TOKEN_REUSED"
# By how much the clocks of two processes of one machine, read one after the other, may seem to differ.
_CLOCKS_APART: Final = 0.005
_SOON: Final = 60.0


@dataclass(slots=True)
class Held:
    """A session and its newest tokens, as its user has them."""

    name: str
    session_id: str
    access_token: str
    refresh_token: str
    token_name: str
    refreshed: int = 0
    spent: str = ""
    over: bool = False


class Acts:
    """Everything that can be done with one user's sessions.

    Args:
        name: the user's, in the records.
        user_id: the user's, in the service.
        services: connections to the service; each act picks one.
        store: Redis, behind the service's back.
        clients: told of every token, and of every end.
        draw: picks.
    """

    def __init__(
        self,
        name: str,
        user_id: str,
        *,
        services: Sequence[ServiceClient],
        store: Redis,
        clients: Sequence[Client],
        draw: random.Random,
    ) -> None:
        self.calls: list[Call] = []
        self.held: list[Held] = []
        self._name = name
        self._user_id = user_id
        self._services = services
        self._store = store
        self._clients = clients
        self._draw = draw
        self._begun = 0
        self._version = 0
        self._roles_in_turn = asyncio.Lock()

    async def enter(self) -> None:
        """Put the user into the directory, without the time that a password's hash takes."""
        fields = {"user_id": self._user_id, "username": "ada", "roles": "v0", "disabled": "0"}
        user: dict[Any, Any] = {**fields, "created_at": "0", "password_hash": "$none$"}
        with suppress(RedisError):
            await self._store.hset(keys.user(self._user_id), mapping=user)

    async def create(self) -> Held | None:
        """Begin a session."""
        held = await self._begin()
        return None if held is None else self._shown(held)

    async def create_short(self, part: str, seconds: float) -> None:
        """Begin a session that, or whose token, expires early: only Redis knows, and nobody is told."""
        held = await self._begin()
        if held is None:
            return
        claims = _claims(held.access_token)
        session = keys.session(self._user_id, held.session_id)
        key = session if part == "session" else keys.token(self._user_id, claims["jti"])
        name = held.name if part == "session" else held.token_name
        expires = round((time.time() + seconds) * 1000)
        began, outcome = time.monotonic() + seconds - _CLOCKS_APART, Outcome.DONE
        try:
            if part == "session":
                await self._store.hset(session, "expires_at", str(expires))
            await self._store.pexpireat(key, expires)
        except RedisError:
            outcome = Outcome.UNKNOWN
        self._record("expiry", Effect.END, name, (began, began + 2 * _CLOCKS_APART), outcome)
        self._shown(held)
        for client in self._clients:
            client.hurry(held.token_name, began)

    async def refresh(self, held: Held) -> None:
        """Trade the refresh token in; the earlier access token stays good."""
        spent, held.refresh_token = held.refresh_token, ""
        if not spent:
            return
        held.refreshed += 1
        name, service = f"{held.name}/t{held.refreshed + 1}", self._service()
        request = pb.RefreshTokenRequest(refresh_token=spent)
        answer = await self._call(
            "refresh", Effect.MAKE, name, service.sessions.RefreshToken(request, timeout=TIMEOUTS.write)
        )
        self._is_check(self.calls[-1], held.name)
        if answer is None:
            return
        held.access_token, held.token_name = answer.access_token, name
        held.refresh_token, held.spent = answer.refresh_token, spent
        self._tell(name, answer.access_token)

    async def reuse(self, held: Held) -> None:
        """Try a spent refresh token again: the session ends for it."""
        if not held.spent:
            return
        service, request = self._service(), pb.RefreshTokenRequest(refresh_token=held.spent)
        call = service.sessions.RefreshToken(request, timeout=TIMEOUTS.write)
        if await self._end("reuse", held.name, call) is not None:
            # Within the very millisecond of the refresh it was a repetition.
            self.calls[-1] = replace(self.calls[-1], outcome=Outcome.REFUSED)

    async def logout(self, held: Held) -> None:
        """The user ends the session."""
        call = self._service().sessions.Logout(pb.LogoutRequest(), **_as(held))
        await self._end("logout", held.name, call, by=held)

    async def revoke(self, held: Held) -> None:
        """The user ends it by its id."""
        request = pb.RevokeSessionRequest(session_id=held.session_id)
        call = self._service().sessions.RevokeSession(request, **_as(held))
        await self._end("revoke", held.name, call, by=held)

    async def revoke_as_operator(self, held: Held) -> None:
        """An operator ends it by its id."""
        service = self._service()
        request = admin_pb.RevokeUserSessionRequest(user_id=self._user_id, session_id=held.session_id)
        await self._end(
            "RevokeUserSession", held.name, service.admin_stub.RevokeUserSession(request, **_of(service))
        )

    async def logout_all(self, held: Held, *, keep: bool) -> None:
        """The user ends all sessions, or all but this one."""
        request = pb.LogoutAllRequest(keep_current=keep)
        call = self._service().sessions.LogoutAll(request, **_as(held))
        await self._end("logout all", self._name, call, by=held, spares=held.name if keep else None)

    async def force_out(self) -> None:
        """An operator ends all of the user's sessions."""
        service, request = self._service(), admin_pb.RevokeUserSessionsRequest(user_id=self._user_id)
        await self._end(
            "RevokeUserSessions", self._name, service.admin_stub.RevokeUserSessions(request, **_of(service))
        )

    async def disable(self) -> None:
        """An operator disables the user, and enables the user again."""
        service = self._service()
        off, on = (
            admin_pb.SetUserDisabledRequest(user_id=self._user_id, disabled=disabled)
            for disabled in (True, False)
        )
        await self._end("disable", self._name, service.admin_stub.SetUserDisabled(off, **_of(service)))
        with suppress(grpc.aio.AioRpcError):
            await service.admin_stub.SetUserDisabled(on, **_of(service))

    async def set_roles(self) -> None:
        """An operator gives the user other roles; one change after the other."""
        async with self._roles_in_turn:
            self._version += 1
            service, version = self._service(), self._version
            request = admin_pb.SetUserRolesRequest(user_id=self._user_id, roles=[f"v{version}"])
            call = service.admin_stub.SetUserRoles(request, **_of(service))
            await self._call("set roles", Effect.SET_ROLES, self._name, call, version=version)
        for client in self._clients:
            client.hurry(self._name)

    async def _begin(self) -> Held | None:
        self._begun += 1
        name, service = f"{self._name}/s{self._begun}", self._service()
        # Where a flush has removed the user from the directory, the session has these roles.
        request = admin_pb.CreateSessionRequest(user_id=self._user_id, username="ada", roles=["none"])
        call = service.admin_stub.CreateSession(request, **_of(service))
        answer = await self._call("create", Effect.MAKE, f"{name}/t1", call)
        if answer is None:
            return None
        return Held(name, answer.session_id, answer.access_token, answer.refresh_token, f"{name}/t1")

    def _shown(self, held: Held) -> Held:
        self.held.append(held)
        self._tell(held.token_name, held.access_token)
        return held

    def _tell(self, name: str, token: str) -> None:
        """Note when a token expires, if that is soon, and have it checked from now on."""
        now, left = time.monotonic(), _claims(token)["exp"] - time.time()
        if left < _SOON:
            moment = now + left
            around = moment - _CLOCKS_APART, moment + _CLOCKS_APART
            self._record("expiry", Effect.END, name, around, Outcome.DONE)
        for client in self._clients:
            client.watch(name, token)

    async def _end(
        self, what: str, name: str, call: Awaitable[Any], *, by: Held | None = None, spares: str | None = None
    ) -> Any:
        ended = [held for held in self.held if is_within(held.name, name) and held.name != spares]
        for held in ended:
            held.over = True
        presented = by.token_name if by else ""
        answer = await self._call(what, Effect.END, name, call, spares=spares)
        outcome = self.calls[-1].outcome
        if by is not None:
            self._is_check(self.calls[-1], presented)
        for held in ended:
            for client in self._clients:
                client.hurry(held.name)
                if outcome is not Outcome.UNKNOWN:
                    client.forget(held.name)
        return answer

    async def _call(self, what: str, effect: Effect, name: str, call: Awaitable[Any], **more: Any) -> Any:
        """Await a call and record it; its answer, or ``None``."""
        began, answer, detail, outcome = time.monotonic(), None, "", Outcome.DONE
        try:
            answer = await call
        except grpc.aio.AioRpcError as error:
            outcome, detail = judged(error, _REFUSALS)
            if effect is Effect.END and detail == _REUSED:
                outcome = Outcome.DONE
        self._record(what, effect, name, (began, time.monotonic()), outcome, detail=detail, **more)
        return answer

    def _record(
        self, what: str, effect: Effect, name: str, when: tuple[float, float], outcome: Outcome, **more: Any
    ) -> None:
        began, ended = when
        call = Call(
            what=what, by="user", effect=effect, name=name, began=began, ended=ended, outcome=outcome, **more
        )
        self.calls.append(call)

    def _is_check(self, call: Call, name: str) -> None:
        """A credential was presented: that it was accepted, or not, is told as a strict check tells it."""
        when = call.began, call.ended
        self._record(call.what, Effect.CHECK, name, when, call.outcome, detail=call.detail)

    def _service(self) -> ServiceClient:
        return self._draw.choice(self._services)


def _as(held: Held) -> dict[str, Any]:
    return {"metadata": bearer(held.access_token), "timeout": TIMEOUTS.write}


def _of(service: ServiceClient) -> dict[str, Any]:
    return {"metadata": service.admin, "timeout": TIMEOUTS.write}


def _claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims
