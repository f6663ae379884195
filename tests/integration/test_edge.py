"""Reflection, health, deadlines and limits of the running service."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from session_api.v1 import session_service_pb2 as pb

from tests.support import RedisServer, eventually_async
from tests.support.in_process import ServiceUnderTest, in_process

# Each test runs on both engines.
pytestmark = pytest.mark.usefixtures("engine")

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def _reflect(channel: Any, **question: Any) -> Any:
    reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = reflection.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(**question)]))
    return await call.read()


async def test_reflection_lists_every_service(service: ServiceUnderTest) -> None:
    """Grpcurl finds both services, health and reflection itself."""
    answer = await _reflect(service.channel, list_services="")
    assert {each.name for each in answer.list_services_response.service} == {
        "session.v1.SessionService",
        "session.v1.AdminService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


async def test_reflection_keeps_comments_and_paths(service: ServiceUnderTest) -> None:
    """The files that reflection sends have the comments and HTTP annotations of the protos."""
    answer = await _reflect(service.channel, file_containing_symbol="session.v1.SessionService.Login")
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(raw)
        for raw in answer.file_descriptor_response.file_descriptor_proto
    ]
    [ours] = [each for each in files if each.name == "session/v1/session_service.proto"]
    comments = [each.leading_comments for each in ours.source_code_info.location]
    assert any("Proves a user's name and password" in comment for comment in comments)
    assert "google/api/annotations.proto" in {each.name for each in files}
    login = next(each for each in ours.service[0].method if each.name == "Login")
    assert b"/v1/login" in login.options.SerializeToString()


async def test_what_reflection_does_not_know_is_not_found(service: ServiceUnderTest) -> None:
    """An unknown symbol and an unknown file are answers, not failures of the stream."""
    for question in ({"file_containing_symbol": "no.Such"}, {"file_by_filename": "no/such.proto"}):
        answer = await _reflect(service.channel, **question)
        assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_reflection_is_off_unless_asked_for(redis_server: RedisServer, tmp_path: Path) -> None:
    """Without the option the method is unknown."""
    redis = {"host": "127.0.0.1", "port": redis_server.port}
    async with in_process(redis, tmp_path, server={"reflection": False}) as service:
        # Nothing is written: a write that meets the end of the call would count as the client's own failure.
        make: Any = reflection_pb2_grpc.ServerReflectionStub
        assert await make(service.channel).ServerReflectionInfo().code() is grpc.StatusCode.UNIMPLEMENTED


async def test_health_follows_redis(start_redis: Any, tmp_path: Path) -> None:
    """Each service and the whole are SERVING while Redis answers, and say so by themselves."""
    redis: RedisServer = start_redis()
    async with in_process({"host": "127.0.0.1", "port": redis.port}, tmp_path) as service:
        health: Any = health_pb2_grpc.HealthStub(service.channel)

        async def status(name: str) -> int:
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            return int(answer.status)

        async def all_are(expected: int) -> bool:
            names = ("", "session.v1.SessionService", "session.v1.AdminService")
            return [await status(name) for name in names] == [expected] * 3

        assert await all_are(SERVING)
        redis.kill()
        await eventually_async(lambda: all_are(NOT_SERVING))
        redis.start()
        await eventually_async(lambda: all_are(SERVING))


async def test_health_can_be_watched(start_redis: Any, tmp_path: Path) -> None:
    """A watcher is told of each change, as load balancers want it."""
    redis: RedisServer = start_redis()
    async with in_process({"host": "127.0.0.1", "port": redis.port}, tmp_path) as service:
        health: Any = health_pb2_grpc.HealthStub(service.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service="session.v1.SessionService"))
        assert (await watch.read()).status == SERVING
        redis.kill()
        assert (await watch.read()).status == NOT_SERVING
        watch.cancel()


async def test_a_deadline_is_kept(start_redis: Any, tmp_path: Path) -> None:
    """A call whose Redis does not answer ends at the caller's deadline, and the loop goes on."""
    redis: RedisServer = start_redis()
    async with in_process({"host": "127.0.0.1", "port": redis.port}, tmp_path) as service:
        token = (await service.open_session()).access_token
        redis.pause()
        try:
            with pytest.raises(grpc.RpcError) as raised:
                await service.sessions.VerifyToken(pb.VerifyTokenRequest(token=token), timeout=0.2)
            assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        finally:
            redis.resume()
        await eventually_async(lambda: _verifies(service, token))


async def _verifies(service: ServiceUnderTest, token: str) -> bool:
    try:
        await service.verify(token)
    except grpc.RpcError:
        return False
    return True


async def test_more_calls_than_allowed_are_shed(start_redis: Any, tmp_path: Path) -> None:
    """Beyond max_concurrent_rpcs a call is RESOURCE_EXHAUSTED at once; the others are answered."""
    redis: RedisServer = start_redis()
    section = {"host": "127.0.0.1", "port": redis.port}
    async with in_process(section, tmp_path, server={"max_concurrent_rpcs": 4}) as service:
        token = (await service.open_session()).access_token
        redis.pause()
        calls = [asyncio.ensure_future(_outcome(service, token)) for _ in range(12)]
        await eventually_async(lambda: sum(call.done() for call in calls) >= 8)
        redis.resume()
        outcomes = await asyncio.gather(*calls)
        assert outcomes.count(grpc.StatusCode.RESOURCE_EXHAUSTED) == 8


async def _outcome(service: ServiceUnderTest, token: str) -> grpc.StatusCode:
    try:
        await service.verify(token)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_every_call_is_counted_by_method_and_reason(service: ServiceUnderTest) -> None:
    """Rate, errors and duration are there for each RPC; unknown methods make no series."""
    token = (await service.open_session()).access_token
    await service.verify(token)
    await _outcome(service, "bad")
    unknown: Any = service.channel.unary_unary("/session.v1.SessionService/NoSuch")
    with pytest.raises(grpc.RpcError):
        await unknown(b"")

    def count(reason: str) -> float | None:
        labels = {"method": "session.v1.SessionService/VerifyToken", "reason": reason}
        return service.registry.get_sample_value("session_rpc_duration_seconds_count", labels)

    # A service in another process shows what it counted once a second.
    await eventually_async(lambda: (count("OK"), count("TOKEN_INVALID")) == (1, 1))
