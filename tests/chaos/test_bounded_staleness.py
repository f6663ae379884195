"""Each fault once, against every way of checking that may be stale: no accept beyond its bound."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import redis
from session_api.v1.admin_service_pb2 import CreateSessionResponse

from session_service.storage import keys
from tests.support import LOOPBACK, RedisServer, eventually_async
from tests.support.histories.calls import Outcome
from tests.support.histories.client_process import block
from tests.support.histories.ways import BOUNDS, Way, all_ways
from tests.support.histories.world import answers
from tests.support.in_process import ServiceUnderTest
from tests.support.proxy import TcpProxy
from tests.support.waiting import until
from tests.support.watching import watching

BOUND = min(BOUNDS)
PATIENCE = 30.0


@dataclass
class Scene:
    """A service with a wire on either side, another past them, and the ways of checking over both wires."""

    server: RedisServer
    store: redis.Redis
    service: ServiceUnderTest
    past: ServiceUnderTest
    redis_wire: TcpProxy
    service_wire: TcpProxy
    ways: list[Way]

    async def outcomes(self, token: str) -> list[Outcome]:
        """What each way answers, all asked at this moment."""
        return [answer.outcome for answer in await asyncio.gather(*(way.check(token) for way in self.ways))]

    async def remembered(self) -> CreateSessionResponse:
        """A session whose token every way has in memory."""
        opened = await self.past.open_session()
        for way in self.ways:
            await eventually_async(partial(_accepts, way, opened.access_token), timeout=PATIENCE)
        return opened

    async def answers_again(self) -> None:
        """Wait until a new session is accepted in every way."""
        for service in (self.service, self.past):
            await eventually_async(partial(answers, service), timeout=PATIENCE)
        await self.remembered()

    def end_behind(self, session_id: str) -> None:
        """Remove a session from Redis, without giving the event loop a turn."""
        self.store.delete(keys.session("u-1", session_id))


async def _accepts(way: Way, token: str) -> bool:
    """Whether a check was accepted, and from memory where that can be told."""
    answer = await way.check(token)
    return answer.outcome is Outcome.DONE and (answer.hit or way.name.startswith("memory"))


@pytest.fixture
async def scene(
    start_one_redis: Callable[..., RedisServer], serve: Callable[..., Awaitable[ServiceUnderTest]]
) -> AsyncIterator[Scene]:
    """Everything works, and every way of checking has a bound of 50 ms."""
    server = start_one_redis()
    async with TcpProxy(server.port) as redis_wire:
        where: dict[str, Any] = {"host": LOOPBACK, "command_timeout": 0.4}
        service = await serve(where | {"port": redis_wire.port}, session={"token_expire": 3})
        past = await serve(where | {"port": server.port}, session={"token_expire": 1800})
        async with (
            TcpProxy(int(service.address.rpartition(":")[2])) as service_wire,
            all_ways(f"{LOOPBACK}:{service_wire.port}") as ways,
        ):
            bounded = [way for way in ways if way.bound == BOUND]
            with server.client() as store:
                yield Scene(server, store, service, past, redis_wire, service_wire, bounded)


async def test_a_wire_that_stalls_towards_the_client(scene: Scene) -> None:
    """Nothing is heard of the end, nor of anything else: once the bound has passed nobody is accepted."""
    opened = await scene.remembered()
    scene.service_wire.hold_replies = True
    await scene.past.logout(opened.access_token)
    await until(time.monotonic() + BOUND)
    assert set(await scene.outcomes(opened.access_token)) == {Outcome.UNKNOWN}
    scene.service_wire.hold_replies = False
    await scene.answers_again()
    assert set(await scene.outcomes(opened.access_token)) == {Outcome.REFUSED}


async def test_a_wire_that_is_cut(scene: Scene) -> None:
    """What was remembered goes with the stream: an end during the interruption is not missed."""
    opened = await scene.remembered()
    scene.service_wire.cut()
    await scene.past.logout(opened.access_token)
    await until(time.monotonic() + BOUND)
    assert Outcome.DONE not in await scene.outcomes(opened.access_token)
    await scene.answers_again()
    assert set(await scene.outcomes(opened.access_token)) == {Outcome.REFUSED}


async def test_redis_whose_word_stalls(scene: Scene) -> None:
    """The service cannot hear of the end, so it confirms nothing: no pong, and no accept past the bound."""
    opened = await scene.remembered()
    async with watching(scene.service) as stream:
        await stream.verified(1, opened.access_token)
        scene.redis_wire.hold_word = True
        await scene.past.logout(opened.access_token)
        heard = asyncio.create_task(stream.heard_before_pong())
        await until(time.monotonic() + BOUND)
        assert not heard.done()
        assert Outcome.DONE not in await scene.outcomes(opened.access_token)
        scene.redis_wire.hold_word = False
        assert [list(each.invalidated.ids) for each in await heard] == [[1]]


async def test_a_killed_read_channel(scene: Scene) -> None:
    """CLIENT KILL: what was read over it is no longer remembered, and a change in between is not missed."""
    opened = await scene.remembered()
    scene.store.client_kill_filter(_type="normal", skipme=True)
    scene.end_behind(opened.session_id)
    await until(time.monotonic() + BOUND)
    assert Outcome.DONE not in await scene.outcomes(opened.access_token)
    await scene.answers_again()
    assert set(await scene.outcomes(opened.access_token)) == {Outcome.REFUSED}


async def test_a_client_whose_event_loop_was_blocked(scene: Scene) -> None:
    """Held up for longer than the bound, it knows that it has not heard, and asks."""
    opened = await scene.remembered()
    scene.end_behind(opened.session_id)
    block(0.2)
    assert Outcome.DONE not in await scene.outcomes(opened.access_token)


async def test_a_flush(scene: Scene) -> None:
    """FLUSHALL ends every session at once, and the next ones are remembered as ever."""
    opened = await scene.remembered()
    scene.store.flushall()
    await until(time.monotonic() + BOUND)
    assert set(await scene.outcomes(opened.access_token)) == {Outcome.REFUSED}
    await scene.answers_again()


async def test_a_redis_that_tracks_little(scene: Scene) -> None:
    """With the table of tracked keys overflowing, ended sessions are refused and live ones are not."""
    scene.store.config_set("tracking-table-max-keys", 10)
    opened = [await scene.past.open_session() for _ in range(30)]
    for each in opened:
        assert set(await scene.outcomes(each.access_token)) == {Outcome.DONE}
    for each in opened[::2]:
        await scene.past.logout(each.access_token)
    await until(time.monotonic() + BOUND)
    for each in opened[::2]:
        assert set(await scene.outcomes(each.access_token)) == {Outcome.REFUSED}
    for each in opened[1::2]:
        assert set(await scene.outcomes(each.access_token)) == {Outcome.DONE}


async def test_a_redis_that_is_stopped(scene: Scene) -> None:
    """Past the bound nothing is known; when it goes on, the session is as alive as before."""
    opened = await scene.remembered()
    scene.server.pause()
    try:
        await until(time.monotonic() + BOUND)
        assert set(await scene.outcomes(opened.access_token)) == {Outcome.UNKNOWN}
    finally:
        scene.server.resume()
    await scene.answers_again()
    assert set(await scene.outcomes(opened.access_token)) == {Outcome.DONE}


async def test_a_redis_that_is_killed(scene: Scene) -> None:
    """All sessions are gone with it: not known to be, and then known."""
    opened = await scene.remembered()
    scene.server.kill()
    await until(time.monotonic() + BOUND)
    assert Outcome.DONE not in await scene.outcomes(opened.access_token)
    await asyncio.to_thread(scene.server.start)
    await scene.answers_again()
    assert set(await scene.outcomes(opened.access_token)) == {Outcome.REFUSED}


async def test_a_token_that_expires_unannounced(scene: Scene) -> None:
    """Redis tells of expiry when it comes by; nobody waits for it: past its life a token is not accepted."""
    opened = await scene.service.open_session()
    identity = await scene.service.verify(opened.access_token)
    left = identity.token_expire_time.ToNanoseconds() / 1e9 - time.time()
    expires = time.monotonic() + left
    while (began := time.monotonic()) < expires + BOUND:
        await scene.outcomes(opened.access_token)
        await until(began + 0.01)
    assert set(await scene.outcomes(opened.access_token)) == {Outcome.REFUSED}
