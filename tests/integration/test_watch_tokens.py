"""WatchTokens, through real gRPC and real Redis, on both engines."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Iterator

import grpc
import pytest
import redis
from session_api.v1 import admin_service_pb2 as admin_pb
from session_api.v1 import error_reason_pb2
from session_api.v1 import session_service_pb2 as pb
from session_api.v1.session_service_pb2_grpc import SessionServiceStub

from session_service.rpc.token_streams import STALLED_SECONDS
from session_service.storage import keys
from tests.support import RedisServer, eventually_async
from tests.support.errors import fails
from tests.support.in_process import ServiceUnderTest
from tests.support.watching import WatchStream, watching

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture
def store(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """A client of Redis behind the service's back."""
    with redis_server.client() as client:
        yield client


async def invalidated(stream: WatchStream) -> list[int]:
    """The ids that the next message says are invalid."""
    return list((await stream.heard()).invalidated.ids)


async def test_a_verified_token_is_whose_it_is_and_for_how_long(service: ServiceUnderTest) -> None:
    """The answer is VerifyToken's, and valid for as long as the nearer of token and session lives."""
    opened = await service.open_session()
    async with watching(service) as stream:
        answer = await stream.verified(7, opened.access_token)
        assert answer.identity == await service.verify(opened.access_token)
        assert 1790 < answer.valid_for.ToTimedelta().total_seconds() <= 1800


async def test_an_answer_is_valid_no_longer_than_the_token_says(service: ServiceUnderTest) -> None:
    """A token's own expiry counts whole seconds, up to one less than the store keeps its key."""
    async with watching(service) as stream:
        for number in range(10):
            opened, began = await service.open_session(), time.time()
            answer = await stream.verified(number, opened.access_token)
            expires = answer.identity.token_expire_time.ToNanoseconds() / 1e9
            assert began + answer.valid_for.ToNanoseconds() / 1e9 <= expires


async def test_an_end_is_told_once(service: ServiceUnderTest) -> None:
    """A logout is told to whoever watches the token, without a question; a second change is not."""
    opened = await service.open_session()
    async with watching(service) as stream:
        await stream.verified(1, opened.access_token)
        await service.logout(opened.access_token)
        assert await invalidated(stream) == [1]
        assert await stream.heard_before_pong() == []


async def test_a_pong_comes_after_every_end_before_its_ping(service: ServiceUnderTest) -> None:
    """Whoever has the pong of a ping that was sent after an acknowledged end has heard of the end."""
    async with watching(service) as stream:
        for number in range(1, 51):
            opened = await service.open_session()
            await stream.verified(number, opened.access_token)
            await service.logout(opened.access_token)
            [message] = await stream.heard_before_pong()
            assert list(message.invalidated.ids) == [number]


async def test_what_is_not_accepted_is_told_as_verify_token_would(service: ServiceUnderTest) -> None:
    """A forged, an empty and an ended token fail with code and reason, and are not watched."""
    opened = await service.open_session()
    await service.logout(opened.access_token)
    expected = {"": "TOKEN_MISSING", "no.such.token": "TOKEN_INVALID", opened.access_token: "SESSION_ENDED"}
    async with watching(service) as stream:
        for number, (token, reason) in enumerate(expected.items(), start=1):
            await stream.verify(number, token)
            failed = (await stream.heard()).failed
            assert failed.id == number
            assert failed.failure.code == grpc.StatusCode.UNAUTHENTICATED.value[0]
            assert error_reason_pb2.ErrorReason.Name(failed.failure.reason) == f"ERROR_REASON_{reason}"


async def test_what_is_forgotten_is_not_told_of(service: ServiceUnderTest) -> None:
    """A forgotten answer is watched no longer; another one of the same session still is."""
    opened = await service.open_session()
    async with watching(service) as stream:
        await stream.verified(1, opened.access_token)
        await stream.verified(2, opened.access_token)
        await stream.forget(1)
        await stream.heard_before_pong()
        await service.logout(opened.access_token)
        assert await invalidated(stream) == [2]
        assert await stream.heard_before_pong() == []


async def test_a_change_of_roles_is_told(service: ServiceUnderTest) -> None:
    """Roles are part of the answer: their change invalidates it, and the next answer has the new ones."""
    user_id = await service.add_user()
    login = await service.login()
    async with watching(service) as stream:
        await stream.verified(1, login.access_token)
        request = admin_pb.SetUserRolesRequest(user_id=user_id, roles=["editor"])
        await service.admin_stub.SetUserRoles(request, metadata=service.admin)
        assert await invalidated(stream) == [1]
        assert list((await stream.verified(2, login.access_token)).identity.roles) == ["editor"]


async def test_the_end_of_all_sessions_is_told_in_few_messages(service: ServiceUnderTest) -> None:
    """A user with a thousand watched sessions is forced out: far fewer messages than sessions tell of it."""
    opened = [await service.open_session() for _ in range(1000)]
    async with watching(service) as stream:
        for number, each in enumerate(opened):
            await stream.verified(number, each.access_token)
        request = admin_pb.RevokeUserSessionsRequest(user_id="u-1")
        await service.admin_stub.RevokeUserSessions(request, metadata=service.admin)
        heard = await stream.heard_before_pong()
    assert sorted(number for each in heard for number in each.invalidated.ids) == list(range(1000))
    assert len(heard) < 100


async def test_a_flush_is_told(service: ServiceUnderTest, store: redis.Redis) -> None:
    """FLUSHALL ends every answer."""
    opened = await service.open_session()
    async with watching(service) as stream:
        await stream.verified(1, opened.access_token)
        store.flushall()
        assert await invalidated(stream) == [1]


async def test_a_deleted_token_is_told(service: ServiceUnderTest, store: redis.Redis) -> None:
    """Also a token's own key is watched, whoever deletes it."""
    opened = await service.open_session()
    async with watching(service) as stream:
        await stream.verified(1, opened.access_token)
        for key in store.scan_iter("token:*"):
            store.delete(key)
        assert await invalidated(stream) == [1]


async def test_what_redis_forgets_to_track_is_told(service: ServiceUnderTest, store: redis.Redis) -> None:
    """With the tracking table full, an answer is not watched at all, or told of when Redis drops its keys."""
    store.config_set("tracking-table-max-keys", 2)
    try:
        async with watching(service) as stream:
            unwatched: set[int] = set()
            for number in range(20):
                await stream.verify(number, (await service.open_session()).access_token)
            while len(unwatched) < 19:  # one has both of its keys tracked, at most
                heard = await stream.heard()
                unwatched |= set(heard.invalidated.ids)
                if heard.HasField("verified") and not heard.verified.HasField("valid_for"):
                    unwatched.add(heard.verified.id)
    finally:
        store.config_set("tracking-table-max-keys", 1_000_000)


async def test_a_lost_connection_to_redis_ends_every_answer(
    service: ServiceUnderTest, store: redis.Redis
) -> None:
    """Changes can no longer be seen over a connection that Redis closed: all answers are invalid."""
    opened = await service.open_session()
    async with watching(service) as stream:
        await stream.verified(1, opened.access_token)
        store.client_kill_filter(_type="normal", skipme=True)
        assert await invalidated(stream) == [1]

        numbers = itertools.count(2)

        async def watched_again() -> bool:
            await stream.verify(next(numbers), opened.access_token)
            return (await stream.heard()).verified.HasField("valid_for")

        assert await eventually_async(watched_again)


async def test_activity_is_noted_and_the_answer_is_watched_all_the_same(
    service: ServiceUnderTest, store: redis.Redis
) -> None:
    """A check whose note of activity is due writes it; its own change does not spoil its answer."""
    opened = await service.open_session()
    session = keys.session("u-1", opened.session_id)
    async with watching(service) as stream:
        for number in range(1, 20):
            store.hset(session, "last_active", 1000)
            answer = await stream.verified(number, opened.access_token)
            assert answer.identity.last_active_time.seconds > 1_000_000
            assert answer.HasField("valid_for")
            store.hset(session, "username", f"ada-{number}")
            assert await invalidated(stream) == [number]


async def test_a_stalled_redis_gives_no_pong(service: ServiceUnderTest, redis_server: RedisServer) -> None:
    """While Redis is stopped nothing is confirmed; when the connection is given up, the answers go first."""
    opened = await service.open_session()
    async with watching(service) as stream:
        await stream.verified(1, opened.access_token)
        redis_server.pause()
        try:
            heard = await stream.heard_before_pong()
        finally:
            redis_server.resume()
        assert [list(each.invalidated.ids) for each in heard] == [[1]]


async def test_bad_messages_end_the_stream(service: ServiceUnderTest) -> None:
    """A message that asks nothing, an id in use, too many to forget: INVALID_ARGUMENT names the field."""
    token = (await service.open_session()).access_token
    verify = pb.WatchTokensRequest(verify=pb.WatchTokensRequest.Verify(id=1, token=token))
    forget = pb.WatchTokensRequest(forget=pb.WatchTokensRequest.Forget(ids=range(1025)))
    for messages, field in (
        ([pb.WatchTokensRequest()], "request"),
        ([verify, verify], "verify.id"),
        ([forget], "forget.ids"),
    ):
        with fails(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT") as failure:
            async for _ in service.sessions.WatchTokens(iter(messages)):
                pass
        assert list(failure.fields) == [field]


async def test_a_client_that_has_asked_all_is_answered_first(service: ServiceUnderTest) -> None:
    """A half-closed stream ends OK once everything is answered."""
    opened = [await service.open_session() for _ in range(20)]
    asked = [
        pb.WatchTokensRequest(verify=pb.WatchTokensRequest.Verify(id=number, token=each.access_token))
        for number, each in enumerate(opened)
    ]
    heard = [each.verified.id async for each in service.sessions.WatchTokens(iter(asked))]
    assert sorted(heard) == list(range(20))


async def test_streams_that_have_ended_leave_their_places(service: ServiceUnderTest) -> None:
    """More streams than there is room for can be opened one after another."""
    opened = await service.open_session()
    for _ in range(300):
        async with watching(service) as stream:
            await stream.verified(1, opened.access_token)
    await service.logout(opened.access_token)


async def test_a_client_that_takes_nothing_is_cut_off(service: ServiceUnderTest) -> None:
    """Answers that nobody reads do not pile up: no more questions are taken, and then the stream ends."""
    token = (await service.open_session()).access_token
    narrow = [("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0)]
    async with grpc.aio.insecure_channel(service.address, options=narrow) as channel:
        stream = WatchStream(SessionServiceStub(channel).WatchTokens())

        async def ask_for_ever() -> None:
            for number in itertools.count():
                await stream.verify(number, token)

        asking = asyncio.create_task(ask_for_ever())
        await asyncio.wait({asking}, timeout=2 * STALLED_SECONDS)
        async with asyncio.timeout(20):
            await stream.end()
        # OVERLOADED; or INTERNAL, of a client that was still asking when the stream was reset under it.
        codes = {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL}
        assert await stream.call.code() in codes
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def test_the_others_do_not_wait_for_a_client_that_takes_nothing(service: ServiceUnderTest) -> None:
    """While one stream is stuck, an end is told on another, and checks go on."""
    token = (await service.open_session()).access_token
    watched = await service.open_session()
    async with watching(service) as stuck, watching(service) as stream:
        for number in range(600):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await stuck.verify(number, token)
        await stream.verified(1, watched.access_token)
        await service.logout(watched.access_token)
        assert await invalidated(stream) == [1]
        await service.verify(token)
