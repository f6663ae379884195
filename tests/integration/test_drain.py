"""SIGTERM under load: no call fails."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from session_api.v1 import session_service_pb2 as pb
from session_api.v1.session_service_pb2_grpc import SessionServiceStub
from session_client import AsyncSessionClient

from tests.support import RedisServer, ServiceProcess, eventually, eventually_async
from tests.support.service_client import connect
from tests.support.watching import watching

# Each test runs on both engines.
pytestmark = pytest.mark.usefixtures("engine")

Start = Callable[..., ServiceProcess]
Check = Callable[[], Awaitable[object]]

_HEALTH_AWARE: Final = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": "session.v1.SessionService"},
}
_OPTIONS: Final = [
    ("grpc.service_config", json.dumps(_HEALTH_AWARE)),
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 100),
]


class Load:
    """Calls that never stop, and what came of them."""

    def __init__(self, call: Check) -> None:
        self.ended = 0
        self.failures: list[Exception] = []
        self._call = call

    async def run(self) -> None:
        """Call again and again."""
        while True:
            try:
                await self._call()
            except Exception as error:  # noqa: BLE001 - counted
                self.failures.append(error)
                await asyncio.sleep(0)
            self.ended += 1

    async def goes_on(self) -> None:
        """Wait until some hundred calls more have ended."""
        enough = self.ended + 200
        await eventually_async(lambda: self.ended > enough, timeout=30)


@asynccontextmanager
async def load_of(call: Check, *, clients: int = 8) -> AsyncIterator[Load]:
    """Load from so many clients around a block."""
    load = Load(call)
    tasks = [asyncio.create_task(load.run()) for _ in range(clients)]
    try:
        yield load
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def pair(start: Start) -> tuple[ServiceProcess, ServiceProcess]:
    """Two services over one Redis, with the same keys."""
    first = start()
    return first, start(tokens={"key_file": str(first.key_file)})


def target(pair: tuple[ServiceProcess, ServiceProcess]) -> str:
    """Both, as a gRPC client names them."""
    return f"ipv4:{pair[0].address},{pair[1].address}"


async def restart_each(pair: Sequence[ServiceProcess], load: Load) -> None:
    """A rolling restart: one after the other ends and comes back, while the other serves."""
    for service in pair:
        await load.goes_on()
        service.signal(signal.SIGTERM)
        assert await asyncio.to_thread(service.wait) == 0
        await load.goes_on()
        await asyncio.to_thread(service.start)
        await served_by(service, load)


async def served_by(service: ServiceProcess, load: Load) -> None:
    """Wait until clients have found the service again, however long they backed off from it."""
    async with connect(service.address, service.admin_key) as client:
        await client.open_session()
    port = int(service.address.rpartition(":")[2])
    await eventually_async(lambda: connected_to(port), timeout=30)
    await load.goes_on()


def connected_to(port: int) -> bool:
    """Whether a client on this machine has a connection to the port, as Linux tells."""
    # gRPC speaks IPv4 through IPv6 sockets.
    table = Path("/proc/net/tcp").read_text(encoding="utf-8") + Path("/proc/net/tcp6").read_text(
        encoding="utf-8"
    )
    rows = (row.split() for row in table.splitlines() if "address" not in row)
    return any(remote.endswith(f":{port:04X}") and state == "01" for _, _, remote, state, *_ in rows)


async def new_token(service: ServiceProcess) -> str:
    """The access token of a new session."""
    async with connect(service.address, service.admin_key) as client:
        return (await client.open_session()).access_token


async def test_clients_that_watch_health_see_no_failure(pair: tuple[ServiceProcess, ServiceProcess]) -> None:
    """Over a rolling restart no call fails, without a single retry: they look elsewhere in time."""
    token = await new_token(pair[0])
    async with grpc.aio.insecure_channel(target(pair), options=_OPTIONS) as channel:
        stub, request = SessionServiceStub(channel), pb.VerifyTokenRequest(token=token)
        async with load_of(lambda: stub.VerifyToken(request, timeout=10)) as load:
            await restart_each(pair, load)

    assert load.failures == []


async def test_users_of_the_client_see_no_failure(start: Start) -> None:
    """Over a rolling restart the project's own client repeats what a stopping server has not begun."""
    first = start(server={"drain_delay": 0.2})
    second = start(tokens={"key_file": str(first.key_file)}, server={"drain_delay": 0.2})
    token = await new_token(first)
    async with (
        AsyncSessionClient(target((first, second))) as client,
        load_of(lambda: client.verify_token(token, timeout=10)) as load,
    ):
        await restart_each((first, second), load)

    assert load.failures == []


async def test_what_is_in_flight_is_answered(start_redis: Callable[..., RedisServer], start: Start) -> None:
    """Calls that wait for Redis are answered even after the port is closed, and then the service ends."""
    redis = start_redis()
    service = start(redis={"url": redis.url, "command_timeout": 30})
    async with connect(service.address, service.admin_key) as client:
        token = (await client.open_session()).access_token
        await client.verify(token)
        redis.pause()
        calls = [asyncio.ensure_future(client.verify(token)) for _ in range(20)]
        opening = asyncio.ensure_future(client.open_session())
        await asyncio.sleep(0)
        # Answered after the calls above were taken, on the same connection.
        await _health(client.channel).Check(health_pb2.HealthCheckRequest())
        service.signal(signal.SIGTERM)
        await eventually_async(lambda: not _listening(service.address))
        redis.resume()

        assert {answer.user_id for answer in await asyncio.gather(*calls)} == {"u-1"}
        assert (await opening).access_token
    assert await asyncio.to_thread(service.wait) == 0


async def test_health_says_so_first(start: Start) -> None:
    """From SIGTERM on health is NOT_SERVING, while calls are taken until none come."""
    service = start(server={"drain_delay": 30})
    async with connect(service.address, service.admin_key) as client:
        token = (await client.open_session()).access_token
        async with load_of(lambda: client.verify(token), clients=4) as load:
            watch = _health(client.channel).Watch(health_pb2.HealthCheckRequest())
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            service.signal(signal.SIGTERM)
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            await load.goes_on()
            assert load.failures == []
            assert service.running
    assert await asyncio.to_thread(service.wait) == 0


async def test_a_watch_of_health_holds_nothing_up(start: Start) -> None:
    """A stream that would never end is ended in good order, instead of being waited for."""
    service = start(server={"shutdown_grace": 600})
    async with connect(service.address, service.admin_key) as client:
        watch = _health(client.channel).Watch(
            health_pb2.HealthCheckRequest(service="session.v1.AdminService")
        )
        await watch.read()
        service.signal(signal.SIGTERM)

        assert await asyncio.to_thread(service.wait) == 0
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await watch.read() is grpc.aio.EOF
        assert await watch.code() is grpc.StatusCode.OK


async def test_a_stream_of_watched_tokens_holds_nothing_up(start: Start) -> None:
    """It ends with UNAVAILABLE: its client drops what it remembers and goes elsewhere."""
    service = start(server={"shutdown_grace": 600})
    async with connect(service.address, service.admin_key) as client, watching(client) as stream:
        await stream.verified(1, (await client.open_session()).access_token)
        service.signal(signal.SIGTERM)

        assert await asyncio.to_thread(service.wait) == 0
        await stream.end()
        assert await stream.call.code() is grpc.StatusCode.UNAVAILABLE


async def test_what_takes_too_long_is_cut_off(start_redis: Callable[..., RedisServer], start: Start) -> None:
    """A call that outlasts the grace ends with UNAVAILABLE or CANCELLED, and the service ends."""
    redis = start_redis()
    service = start(
        redis={"url": redis.url, "command_timeout": 60}, server={"shutdown_grace": 0.2, "drain_delay": 0.1}
    )
    async with connect(service.address, service.admin_key) as client:
        token = (await client.open_session()).access_token
        redis.pause()
        call = asyncio.ensure_future(client.verify(token))
        await asyncio.sleep(0)
        await _health(client.channel).Check(health_pb2.HealthCheckRequest())
        service.signal(signal.SIGTERM)

        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await call
        assert failure.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    redis.resume()
    assert await asyncio.to_thread(service.wait) == 0
    eventually(lambda: not service.running)


async def test_a_second_ctrl_c_cuts_the_drain_short(start: Start) -> None:
    """Whoever presses it twice does not wait for what is in flight, such as a stream without an end."""
    service = start(server={"shutdown_grace": 600, "reflection": True})
    async with connect(service.address, service.admin_key) as client:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub
        stream = stub(client.channel).ServerReflectionInfo()
        await stream.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        await stream.read()
        service.signal(signal.SIGINT)
        await eventually_async(lambda: not _listening(service.address))
        assert service.running
        service.signal(signal.SIGINT)

        assert await asyncio.to_thread(service.wait) == 0
        assert await stream.code() is grpc.StatusCode.UNAVAILABLE
    assert service.events("calls in flight are cut off")


def _listening(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def _health(channel: grpc.aio.Channel) -> Any:
    return health_pb2_grpc.HealthStub(channel)
