"""Clients that never read, storms of connections, and callers that leave: the server bears them all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, TypeAlias

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from session_api.v1 import session_service_pb2 as pb

from tests.support import RedisServer, ServiceProcess, eventually_async
from tests.support.grpc_frames import framed
from tests.support.in_process import ServiceUnderTest, patient_with
from tests.support.raw_http2 import Answer, RawHttp2, raw_http2
from tests.support.service_client import PASSWORD, ServiceClient, connect

Serve: TypeAlias = Callable[..., Awaitable[ServiceUnderTest]]

VERIFY: Final = "/session.v1.SessionService/VerifyToken"
WATCH: Final = "/session.v1.SessionService/WatchTokens"
REFLECT: Final = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
QUESTION: Final = framed(
    reflection_pb2.ServerReflectionRequest(
        file_containing_symbol="session.v1.SessionService"
    ).SerializeToString()
)
NO_LIMIT: Final = dict.fromkeys(("per_account_and_address", "per_address", "per_account"), 10**6)
STORM: Final = 1_000
# What HTTP/2 lets a server send to a client that has not said anything.
WINDOW: Final = 65_535
MEBIBYTE: Final = 1 << 20


async def test_a_reader_that_never_reads_costs_no_memory(
    process: ServiceProcess, bystander: ServiceClient
) -> None:
    """Twenty who each ask for 17 MB and take 64 KiB: what they do not take is not made."""
    before = _resident(process)
    async with AsyncExitStack() as stack:
        answers = []
        for _ in range(20):
            connection = await stack.enter_async_context(raw_http2(process.address, takes_answers=False))
            answers.append(await connection.open(REFLECT, QUESTION * 500))
        await eventually_async(lambda: {len(answer.body) for answer in answers} == {WINDOW}, timeout=20)
        token = (await bystander.open_session()).access_token
        for _ in range(500):
            await bystander.verify(token)
        assert _resident(process) - before < 40 * MEBIBYTE
        assert {len(answer.body) for answer in answers} == {WINDOW}


async def test_a_watcher_that_asks_and_never_reads_costs_no_memory(
    process: ServiceProcess, bystander: ServiceClient
) -> None:
    """Ten who each ask for megabytes of checks and take no answer: soon they may not even send any more."""
    token = (await bystander.open_session()).access_token
    before = _resident(process)
    async with AsyncExitStack() as stack:
        asking = []
        for _ in range(10):
            connection = await stack.enter_async_context(raw_http2(process.address, takes_answers=False))
            watch = await connection.open(WATCH, end=False)
            asking.append(asyncio.create_task(_ask(connection, watch, token, 4 * MEBIBYTE)))
        said_all, _ = await asyncio.wait(asking, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        assert not said_all
        assert _resident(process) - before < 60 * MEBIBYTE
        for each in asking:
            each.cancel()
        await asyncio.wait(asking)


async def test_a_storm_of_connections_is_borne(process: ServiceProcess, bystander: ServiceClient) -> None:
    """A thousand connections that each begin a call and are broken: descriptors and calls are given back."""
    token = (await bystander.open_session()).access_token
    descriptors = _descriptors(process)
    for _ in range(STORM // 100):
        async with AsyncExitStack() as stack:
            for _ in range(100):
                connection = await stack.enter_async_context(raw_http2(process.address))
                await connection.open(VERIFY, b"\0\0", end=False)
            await bystander.verify(token)
    await eventually_async(lambda: _descriptors(process) <= descriptors + 10, timeout=20)
    assert await asyncio.gather(*(bystander.verify(token) for _ in range(100)))


async def test_calls_of_broken_connections_are_forgotten(process: ServiceProcess) -> None:
    """Streams of health that nobody watches any more leave their places to others."""
    # A quarter of max_concurrent_rpcs is for streams.
    for _ in range(5):
        async with AsyncExitStack() as stack:
            for _ in range(60):
                client = await stack.enter_async_context(connect(process.address, process.admin_key))
                stub: Any = health_pb2_grpc.HealthStub(client.channel)
                watch = stub.Watch(health_pb2.HealthCheckRequest())
                assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING


async def test_calls_that_are_given_up_fill_no_log(process: ServiceProcess, bystander: ServiceClient) -> None:
    """A hundred that end by their deadline before they have sent a request: nobody is told of each."""
    before = len(process.log())
    async with raw_http2(process.address) as connection:
        headers = {"grpc-timeout": "1m"}
        calls = [await connection.open(VERIFY, end=False, headers=headers) for _ in range(100)]
        await asyncio.wait_for(asyncio.gather(*(call.over.wait() for call in calls)), 10)
    await bystander.verify((await bystander.open_session()).access_token)
    assert len(process.log()) - before < 100 * 20


async def test_a_login_that_is_not_waited_for_is_noticed(one_redis: RedisServer, serve: Serve) -> None:
    """Who hangs up in the queue for hashing is out of it: counted as CANCELLED, and not hashed for."""
    passwords = {"hashing_threads": 1, "hashing_queue": 100}
    service = await serve(patient_with(one_redis), throttling=NO_LIMIT, passwords=passwords)
    await service.add_user()
    request = pb.LoginRequest(username="ada", password=PASSWORD)
    logins = [asyncio.ensure_future(_hopeful(service, request)) for _ in range(60)]
    await eventually_async(lambda: _depth(service) > 40, timeout=20)
    for login in logins:
        login.cancel()
    await asyncio.gather(*logins, return_exceptions=True)
    await eventually_async(lambda: _count(service, "Login", "CANCELLED") > 20, timeout=5)
    await service.login()


async def test_a_watch_of_health_that_is_left_is_noticed(one_redis: RedisServer, serve: Serve) -> None:
    """Cancelled, or its connection gone: counted as CANCELLED within a second or two."""
    service = await serve(patient_with(one_redis))
    async with connect(service.address, "") as other:
        watches = [await _watch(other) for _ in range(3)]
        watches[0].cancel()
        await eventually_async(lambda: _count(service, "Watch", "CANCELLED") == 1, timeout=2.5)
    await eventually_async(lambda: _count(service, "Watch", "CANCELLED") == 3, timeout=2.5)


async def test_the_server_keeps_the_deadline_itself(
    start_one_redis: Callable[[], RedisServer], serve: Serve
) -> None:
    """A client without a timer of its own is told at the time it asked for, while Redis is stopped."""
    redis = start_one_redis()
    service = await serve(patient_with(redis))
    token = (await service.open_session()).access_token
    message = framed(pb.VerifyTokenRequest(token=token).SerializeToString())
    redis.pause()
    try:
        async with raw_http2(service.address) as caller:
            began = asyncio.get_running_loop().time()
            answer = await asyncio.wait_for(caller.call(VERIFY, message, headers={"grpc-timeout": "100m"}), 5)
            took = asyncio.get_running_loop().time() - began
    finally:
        redis.resume()
    assert answer.code == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
    assert 0.09 < took < 2


async def _ask(connection: RawHttp2, watch: Answer, token: str, size: int) -> None:
    """Send so many bytes of questions, as far as the server takes them."""
    number = 0
    while size > 0:
        asked = [pb.WatchTokensRequest.Verify(id=number + more, token=token) for more in range(200)]
        piece = b"".join(framed(pb.WatchTokensRequest(verify=each).SerializeToString()) for each in asked)
        await connection.send(watch, piece)
        await asyncio.sleep(0)  # its turn to everybody, while the server takes everything
        number, size = number + 200, size - len(piece)


async def _hopeful(service: ServiceUnderTest, request: pb.LoginRequest) -> None:
    await service.sessions.Login(request)


async def _watch(client: ServiceClient) -> Any:
    stub: Any = health_pb2_grpc.HealthStub(client.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest(service="session.v1.SessionService"))
    await watch.read()
    return watch


def _depth(service: ServiceUnderTest) -> float:
    return service.registry.get_sample_value("session_hashing_depth") or 0


def _count(service: ServiceUnderTest, method: str, reason: str) -> float:
    name = "grpc.health.v1.Health" if method == "Watch" else "session.v1.SessionService"
    labels = {"method": f"{name}/{method}", "reason": reason}
    return service.registry.get_sample_value("session_rpc_duration_seconds_count", labels) or 0


def _resident(process: ServiceProcess) -> int:
    """Bytes of memory that the serving process has."""
    status = Path(f"/proc/{process.worker_pids[0]}/status").read_text(encoding="utf-8")
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


def _descriptors(process: ServiceProcess) -> int:
    return len(list(Path(f"/proc/{process.worker_pids[0]}/fd").iterdir()))
