"""Both verifiers of the SDK against the service, through real gRPC and real Redis, on both engines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import redis
from session_api.v1 import admin_service_pb2 as admin_pb
from session_client import ServiceUnavailable, SessionEnded

from tests.support import RedisServer, eventually_async
from tests.support.in_process import ServiceUnderTest
from tests.support.verifiers import OpenedVerifier, OpenVerifier, open_async_verifier, open_threads_verifier

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture(params=["async", "threads"])
def open_verifier(request: pytest.FixtureRequest) -> OpenVerifier:
    """Opens a verifier, for asyncio and then for threads."""
    return open_async_verifier if request.param == "async" else open_threads_verifier


@pytest.fixture
async def verifier(open_verifier: OpenVerifier, service: ServiceUnderTest) -> AsyncIterator[OpenedVerifier]:
    """A verifier whose stream works, and which goes by what it is told and not by time."""
    async with open_verifier(service.address, max_staleness=60.0) as opened:
        await opened.works()
        yield opened


async def remembered(verifier: OpenedVerifier, token: str) -> None:
    """See that a token's answer is in memory."""

    async def is_remembered() -> bool:
        await verifier.verify(token)
        return token in verifier.watching._entries

    await eventually_async(is_remembered)


async def test_logouts_reach_the_memory(verifier: OpenedVerifier, service: ServiceUnderTest) -> None:
    """Of a hundred remembered tokens each is dropped when its session ends, without a check."""
    opened = [await service.open_session() for _ in range(100)]
    for one in opened:
        await remembered(verifier, one.access_token)
    assert len(verifier.watching._entries) == 100
    for one in opened[:50]:
        await service.logout(one.access_token)

    await eventually_async(lambda: len(verifier.watching._entries) == 50)
    with pytest.raises(SessionEnded):
        await verifier.verify(opened[0].access_token)
    assert (await verifier.verify(opened[99].access_token)).session_id == opened[99].session_id


async def test_new_roles_reach_the_memory(verifier: OpenedVerifier, service: ServiceUnderTest) -> None:
    """A change of roles shows in the next check once it has been told."""
    user_id = await service.add_user()
    token = (await service.login()).access_token
    await remembered(verifier, token)
    request = admin_pb.SetUserRolesRequest(user_id=user_id, roles=["editor"])
    await service.admin_stub.SetUserRoles(request, metadata=service.admin)

    async def has_new_roles() -> bool:
        return (await verifier.verify(token)).roles == ("editor",)

    await eventually_async(has_new_roles)


async def test_a_cold_start(verifier: OpenedVerifier, service: ServiceUnderTest) -> None:
    """Two thousand checks at once that find nothing in memory each get the identity of their own token."""
    opened = [await service.open_session() for _ in range(200)]
    checks = (verifier.verify(one.access_token) for one in opened * 10)
    identities = await asyncio.gather(*checks)

    assert [one.session_id for one in identities] == [one.session_id for one in opened] * 10


async def test_what_is_forgotten_is_not_watched(
    open_verifier: OpenVerifier, service: ServiceUnderTest
) -> None:
    """A small memory and a service that knows of it stay right while tokens come and go."""
    opened = [await service.open_session() for _ in range(30)]
    async with open_verifier(service.address, max_staleness=60.0, max_tokens=5) as verifier:
        await verifier.works()
        for one in opened * 2:
            assert (await verifier.verify(one.access_token)).session_id == one.session_id
        assert len(verifier.watching._entries) == 5
        for one in opened:
            await service.logout(one.access_token)
        await eventually_async(lambda: not verifier.watching._entries)


async def test_a_flush_reaches_the_memory(
    verifier: OpenedVerifier, service: ServiceUnderTest, redis_server: RedisServer
) -> None:
    """With Redis emptied, nothing is accepted that was remembered."""
    token = (await service.open_session()).access_token
    await remembered(verifier, token)
    with redis.Redis(port=redis_server.port) as store:
        store.flushall()

    await eventually_async(lambda: not verifier.watching._entries)
    with pytest.raises(SessionEnded):
        await verifier.verify(token)


async def test_a_store_that_stalls(
    open_verifier: OpenVerifier, service: ServiceUnderTest, redis_server: RedisServer
) -> None:
    """While Redis stands still nothing is accepted beyond the bound, and nobody counts as logged out."""
    token = (await service.open_session()).access_token
    async with open_verifier(service.address, max_staleness=0.2) as verifier:
        await verifier.works()
        await verifier.verify(token)
        redis_server.pause()
        try:

            async def is_refused() -> bool:
                try:
                    await verifier.verify(token)
                except ServiceUnavailable:
                    return True
                return False

            await eventually_async(is_refused, timeout=20)
        finally:
            redis_server.resume()
        await eventually_async(lambda: _is_accepted(verifier, token), timeout=20)


async def _is_accepted(verifier: OpenedVerifier, token: str) -> bool:
    try:
        await verifier.verify(token)
    except ServiceUnavailable:
        return False
    return True
