"""VerifyToken with ``max_staleness``, through real gRPC and real Redis, on both engines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import grpc
import pytest
import redis
from session_api.v1 import admin_service_pb2 as admin_pb
from session_api.v1 import session_service_pb2 as pb

from session_service.storage import keys
from tests.support import RedisServer, eventually_async
from tests.support.errors import fails
from tests.support.in_process import ServiceUnderTest

pytestmark = pytest.mark.usefixtures("engine")

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED


# More commands than a test can make: no entry leaves the log while one counts.
SLOW_LOG_ENTRIES = 100_000
SLOW_LOG = {"slowlog-log-slower-than": 0, "slowlog-max-len": SLOW_LOG_ENTRIES}


@pytest.fixture
def store(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """A client of Redis behind the service's back; its slow log has every command since the test began."""
    with redis_server.client() as client:
        before = {name: client.config_get(name)[name] for name in SLOW_LOG}
        for name, value in SLOW_LOG.items():
            client.config_set(name, value)
        client.slowlog_reset()
        yield client
        for name, value in before.items():
            client.config_set(name, value)
        client.slowlog_reset()


async def verify(service: ServiceUnderTest, token: str, seconds: float) -> pb.VerifyTokenResponse:
    """Check a token with a bound."""
    request = pb.VerifyTokenRequest(token=token)
    request.max_staleness.FromTimedelta(timedelta(seconds=seconds))
    return await service.sessions.VerifyToken(request)


def reads(store: redis.Redis) -> int:
    """How many commands of this test have read a session; what the service does besides does not count."""
    commands = [entry["command"] for entry in store.slowlog_get(SLOW_LOG_ENTRIES)]
    assert len(commands) < SLOW_LOG_ENTRIES
    return sum(command.startswith(b"HMGET user_session:") for command in commands)


async def test_a_check_that_may_be_stale_asks_redis_once(
    service: ServiceUnderTest, store: redis.Redis
) -> None:
    """The second of two checks within the bound reads nothing, and says the same."""
    opened = await service.open_session()
    first = await verify(service, opened.access_token, 60)
    before = reads(store)
    assert [await verify(service, opened.access_token, 60) for _ in range(10)] == [first] * 10
    assert reads(store) == before


async def test_without_a_bound_every_check_asks_redis(service: ServiceUnderTest, store: redis.Redis) -> None:
    """Unset and 0 are strict, whatever others have had remembered."""
    opened = await service.open_session()
    await verify(service, opened.access_token, 60)
    before = reads(store)
    await service.verify(opened.access_token)
    await verify(service, opened.access_token, 0)
    assert reads(store) == before + 2


async def test_an_end_reaches_the_memory_long_before_the_bound(service: ServiceUnderTest) -> None:
    """The bound is a promise for the worst case: Redis's word usually drops the answer at once."""
    opened = await service.open_session()
    await verify(service, opened.access_token, 60)
    await service.logout(opened.access_token)

    async def refused() -> bool:
        try:
            await verify(service, opened.access_token, 60)
        except grpc.aio.AioRpcError as error:
            return error.code() is UNAUTHENTICATED
        return False

    await eventually_async(refused)


async def test_a_redis_that_hangs_serves_no_longer_than_the_bound(
    service: ServiceUnderTest, redis_server: RedisServer
) -> None:
    """While Redis is stopped, answers serve until their bound, and then nothing is known."""
    opened = await service.open_session()
    await verify(service, opened.access_token, 60)
    redis_server.pause()
    try:
        await verify(service, opened.access_token, 60)
        with fails(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE"):
            await verify(service, opened.access_token, 1e-6)
    finally:
        redis_server.resume()


async def test_a_lost_connection_empties_the_memory(service: ServiceUnderTest, store: redis.Redis) -> None:
    """What cannot be told of any more is not served: the session is read anew."""
    opened = await service.open_session()
    await verify(service, opened.access_token, 60)
    store.client_kill_filter(_type="normal", skipme=True)
    # Behind the back of a service that was told of nothing.
    store.delete(keys.session("u-1", opened.session_id))

    async def refused() -> bool:
        try:
            await verify(service, opened.access_token, 60)
        except grpc.aio.AioRpcError as error:
            return error.code() is UNAUTHENTICATED
        return False

    await eventually_async(refused)


async def test_activity_is_noted_though_answers_are_remembered(
    service: ServiceUnderTest, store: redis.Redis
) -> None:
    """A check from memory counts as use: when a note of activity is due it is written."""
    opened = await service.open_session()
    await verify(service, opened.access_token, 60)
    store.hset(keys.session("u-1", opened.session_id), "last_active", 1000)

    async def noted() -> bool:
        await verify(service, opened.access_token, 60)
        return int(store.hget(keys.session("u-1", opened.session_id), "last_active") or 0) > 1000

    await eventually_async(noted)


async def test_new_roles_show_at_once(service: ServiceUnderTest) -> None:
    """A change of roles drops what was remembered."""
    user_id = await service.add_user()
    login = await service.login()
    await verify(service, login.access_token, 60)
    request = admin_pb.SetUserRolesRequest(user_id=user_id, roles=["editor"])
    await service.admin_stub.SetUserRoles(request, metadata=service.admin)

    async def shown() -> bool:
        return list((await verify(service, login.access_token, 60)).roles) == ["editor"]

    await eventually_async(shown)


@pytest.mark.parametrize("seconds", [-0.001, 60.001, 3600.0])
async def test_a_bound_has_limits(service: ServiceUnderTest, seconds: float) -> None:
    """Below 0 and above a minute are INVALID_ARGUMENT, and the field is named."""
    opened = await service.open_session()
    with fails(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT") as failure:
        await verify(service, opened.access_token, seconds)
    assert failure.fields == {"max_staleness": "must be 0 to 60 s"}


async def test_many_at_once_agree(service: ServiceUnderTest) -> None:
    """A hundred checks of a token that nobody has asked for before: all get the answer."""
    opened = await service.open_session()
    checks = (verify(service, opened.access_token, bound) for bound in (0.05, 1.0) * 50)
    assert len(set(map(str, await asyncio.gather(*checks)))) == 1
