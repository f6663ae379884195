"""Envoy's Authorization on the service's own port: off unless enabled, and one mind with VerifyToken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from session_api.v1 import admin_service_pb2 as admin_pb

from session_service.rpc.envoy_auth import external_auth_pb2 as pb
from session_service.rpc.envoy_auth.external_auth_pb2_grpc import AuthorizationStub
from tests.support import RedisServer, eventually_async
from tests.support.engines import services_on
from tests.support.errors import fails
from tests.support.http1 import exchange
from tests.support.in_process import ServiceUnderTest, in_process, patient_with

if TYPE_CHECKING:
    from session_service.rpc.envoy_auth.external_auth_pb2_grpc import AuthorizationAsyncStub

NAME: Final = "envoy.service.auth.v3.Authorization"


@pytest.fixture
async def guard(one_redis: RedisServer, tmp_path: Path, engine: str) -> AsyncIterator[ServiceUnderTest]:
    """The service with the decision for gateways turned on, on each engine."""
    authz = {"enabled": True, "public_paths": ["/public/*"]}
    async with in_process(patient_with(one_redis), tmp_path, authz=authz) as running:
        yield running


def _stub(service: ServiceUnderTest) -> AuthorizationAsyncStub:
    return AuthorizationStub(service.channel)


def _request(token: str | None, path: str = "/x", **extensions: str) -> pb.CheckRequest:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    http = pb.AttributeContext.HttpRequest(path=path, headers=headers)
    request = pb.AttributeContext.Request(http=http)
    return pb.CheckRequest(attributes=pb.AttributeContext(request=request, context_extensions=extensions))


async def _services(service: ServiceUnderTest) -> set[str]:
    """What reflection lists."""
    stub: Any = ServerReflectionStub
    answers = stub(service.channel).ServerReflectionInfo(iter([ServerReflectionRequest(list_services="")]))
    async for answer in answers:
        return {each.name for each in answer.list_services_response.service}
    return set()


async def test_it_is_off_unless_enabled(service: ServiceUnderTest) -> None:
    """A service that is no gateway's has no such method, does not list it, and has no health for it."""
    with fails(grpc.StatusCode.UNIMPLEMENTED, ""):
        await _stub(service).Check(_request("x"))
    assert NAME not in await _services(service)
    health: Any = HealthStub(service.channel)
    with fails(grpc.StatusCode.NOT_FOUND, ""):
        await health.Check(health_pb2.HealthCheckRequest(service=NAME))


async def test_the_page_of_forward_auth_is_off_as_well(one_redis: RedisServer, tmp_path: Path) -> None:
    """On the engine that speaks HTTP `/authz` is no page, or one, by the same key."""
    with services_on("native"):
        for authz, status in (({}, 404), ({"enabled": True}, 401)):
            async with in_process(patient_with(one_redis), tmp_path, authz=authz) as service:
                answer = await asyncio.to_thread(exchange, service.address, "/authz")
            assert answer.status == status


async def test_it_is_seen_where_it_is_on(guard: ServiceUnderTest) -> None:
    """Reflection lists it, and its health follows Redis as the others' does."""
    assert NAME in await _services(guard)
    health: Any = HealthStub(guard.channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(service=NAME))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_it_agrees_with_verify_token(guard: ServiceUnderTest) -> None:
    """Who VerifyToken knows is let through as that user; whom it refuses is denied for the same reason."""
    opened, ended = [await guard.open_session(roles=["editor"]) for _ in range(2)]
    await guard.logout(ended.access_token)
    known = await guard.verify(opened.access_token)
    allowed = await _stub(guard).Check(_request(opened.access_token))
    assert allowed.status.code == 0
    assert MessageToDict(allowed.dynamic_metadata) == {
        "user_id": known.user_id,
        "username": known.username,
        "session_id": known.session_id,
        "roles": list(known.roles),
    }
    for token, reason in (
        (ended.access_token, "SESSION_ENDED"),
        (f"{opened.access_token}x", "TOKEN_INVALID"),
    ):
        with fails(grpc.StatusCode.UNAUTHENTICATED, reason):
            await guard.verify(token)
        denied = await _stub(guard).Check(_request(token))
        assert denied.status.code == grpc.StatusCode.UNAUTHENTICATED.value[0]
        assert reason in denied.denied_response.body


async def test_roles_are_those_of_this_moment(guard: ServiceUnderTest) -> None:
    """A role that is given or taken counts for the next request, with the token that there is."""
    user_id = await guard.add_user()
    token = (await guard.login()).access_token
    for roles, status in (((), 403), (("admin",), 0), (("editor",), 403)):
        change = admin_pb.SetUserRolesRequest(user_id=user_id, roles=roles)
        await guard.admin_stub.SetUserRoles(change, metadata=guard.admin)
        decided = await _stub(guard).Check(_request(token, role="admin"))
        assert decided.denied_response.status.code == status


async def test_bytes_that_are_no_message_let_nobody_through(guard: ServiceUnderTest) -> None:
    """The call fails; Envoy has no answer then, and lets nobody through."""
    call: Any = guard.channel.unary_unary(f"/{NAME}/Check")
    for raw in (b"\xff\xff\xff", b"\x0a\x02\x22\xff"):
        with fails(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT"):
            await call(raw)


async def test_an_empty_question_is_denied(guard: ServiceUnderTest) -> None:
    """Nothing is public that has no path."""
    denied = await _stub(guard).Check(pb.CheckRequest())
    assert denied.denied_response.status.code == 401


async def test_it_is_measured_as_every_method(guard: ServiceUnderTest) -> None:
    """The boundary around it is the one that all methods have."""
    await _stub(guard).Check(_request(None, "/public/x"))
    labels = {"method": f"{NAME}/Check", "reason": "OK"}
    counted = partial(guard.registry.get_sample_value, "session_rpc_duration_seconds_count", labels)
    # A process moves its tallies over to the shared metrics from time to time.
    await eventually_async(lambda: counted() == 1, timeout=20)


async def test_decisions_are_counted_by_outcome(guard: ServiceUnderTest) -> None:
    """A denial is an OK of the call, so it is counted apart: who was denied why shows in the metrics."""
    token = (await guard.open_session()).access_token
    for request in (_request(token), _request(None), _request(None), _request(token, role="admin")):
        await _stub(guard).Check(request)
    for outcome, count in (("ALLOWED", 1), ("TOKEN_MISSING", 2), ("ROLE_REQUIRED", 1)):
        labels = {"protocol": "envoy", "outcome": outcome}
        assert guard.registry.get_sample_value("session_gateway_decisions_total", labels) == count
