"""Link: many callers on one connection, and never one caller's reply to another."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from unittest.mock import Mock

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from session_service.domain.errors import StoreUnavailable
from session_service.storage import link as link_module
from session_service.storage.link import FailedReplies, Link
from tests.integration.storage.links import TIMEOUT, OpenLink, Told, connection_to
from tests.support import RedisServer, eventually_async
from tests.support.proxy import TcpProxy


@pytest.fixture
async def proxy(redis_server: RedisServer) -> AsyncIterator[TcpProxy]:
    """A proxy before the shared server."""
    async with TcpProxy(redis_server.port) as proxy:
        yield proxy


async def test_each_caller_gets_his_replies_in_order(redis_server: RedisServer, open_link: OpenLink) -> None:
    """Several commands of several callers come back to who sent them, one reply per command."""
    link = await open_link(redis_server.port)
    calls = [link.send((("ECHO", f"a{i}"), ("ECHO", f"b{i}"))) for i in range(100)]
    assert await asyncio.gather(*calls) == [[f"a{i}".encode(), f"b{i}".encode()] for i in range(100)]


async def test_one_turn_of_the_loop_is_one_write(redis_server: RedisServer, open_link: OpenLink) -> None:
    """What is sent before the loop turns leaves in a single write."""
    link = await open_link(redis_server.port)
    link._transport = Mock(wraps=link._transport)
    await asyncio.gather(*(link.send((("ECHO", str(i)),)) for i in range(50)))
    link._transport.write.assert_called_once()


async def test_words_may_be_text_bytes_and_numbers(redis_server: RedisServer, open_link: OpenLink) -> None:
    """A command is packed from str, bytes and int, and replies are bytes, int, list, None or a dict."""
    link = await open_link(redis_server.port)
    replies = await link.send(
        (
            ("HSET", "hash", "number", 7, b"bytes", "ä"),
            ("HMGET", "hash", "number", "bytes", "none"),
            ("HGETALL", "hash"),
        )
    )
    assert replies == [2, [b"7", "ä".encode(), None], {b"number": b"7", b"bytes": "ä".encode()}]


async def test_what_cannot_be_packed_leaves_nothing_behind(
    redis_server: RedisServer, open_link: OpenLink
) -> None:
    """A command of the wrong type fails in the hands of its caller and disturbs nobody."""
    link = await open_link(redis_server.port)
    with pytest.raises(TypeError):
        link.send((("ECHO", "x"), ("ECHO", object())))  # type: ignore[arg-type]
    assert await link.send((("ECHO", "y"),)) == [b"y"]


async def test_an_error_reply_is_its_own_callers(redis_server: RedisServer, open_link: OpenLink) -> None:
    """A command refused by Redis fails its caller, who sees the other replies too, and nobody else."""
    link = await open_link(redis_server.port)
    before, wrong, after = (
        link.send((("ECHO", "before"),)),
        link.send((("ECHO", "1"), ("NONSENSE",), ("ECHO", "2"))),
        link.send((("ECHO", "after"),)),
    )
    with pytest.raises(FailedReplies) as failed:
        await wrong
    assert await before == [b"before"]
    assert await after == [b"after"]
    first, error, last = failed.value.replies
    assert (first, last) == (b"1", b"2")
    assert isinstance(error, ResponseError)
    assert failed.value.errors == [error]


async def test_replies_may_come_in_any_pieces(proxy: TcpProxy, open_link: OpenLink) -> None:
    """Replies split at every byte are put together again."""
    link = await open_link(proxy.port)
    proxy.chunk = 1
    calls = [link.send((("ECHO", f"value {i}"), ("PING",))) for i in range(5)]
    assert await asyncio.gather(*calls) == [[f"value {i}".encode(), b"PONG"] for i in range(5)]


async def test_a_giant_reply_passes(redis_server: RedisServer, open_link: OpenLink) -> None:
    """A reply and a command of megabytes come through whole, and others around them."""
    link = await open_link(redis_server.port)
    giant = b"x" * 5_000_000
    calls = [link.send((("ECHO", word),)) for word in (b"before", giant, b"after")]
    assert await asyncio.gather(*calls) == [[b"before"], [giant], [b"after"]]


@pytest.mark.parametrize("seed", range(3))
async def test_cancelled_callers_never_shift_replies(
    redis_server: RedisServer, open_link: OpenLink, seed: int
) -> None:
    """Of thousands of calls, cancelled at every moment, each one that ends well has its own replies."""
    link = await open_link(redis_server.port)
    chance = random.Random(seed)  # noqa: S311 - a test's dice
    loop = asyncio.get_running_loop()
    answered = 0

    async def call(number: int) -> None:
        nonlocal answered
        words = [f"{number}-{place}" for place in range(chance.randint(1, 4))]
        reply = await link.send(tuple(("ECHO", word) for word in words))
        assert reply == [word.encode() for word in words]
        answered += 1

    for first in range(0, 3_000, 100):
        tasks = [asyncio.create_task(call(number)) for number in range(first, first + 100)]
        for task in chance.sample(tasks, 60):
            loop.call_later(chance.choice([0, 0, 0.0002, 0.001]), task.cancel)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(outcome is None or isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
    assert answered >= 1_200
    assert await link.send((("ECHO", "the end"),)) == [b"the end"]


async def test_a_lost_connection_fails_everything_in_flight(
    start_redis: Callable[..., RedisServer], open_link: OpenLink
) -> None:
    """When Redis dies, every waiting call fails at once and not at its time-out."""
    server = start_redis()
    link = await open_link(server.port)
    server.pause()
    calls = [link.send((("PING",),)) for _ in range(100)]
    await asyncio.wait(calls, timeout=0.02)
    server.kill()
    before = time.monotonic()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert time.monotonic() - before < TIMEOUT / 2
    assert all(isinstance(outcome, StoreUnavailable) for outcome in outcomes)
    with pytest.raises(StoreUnavailable):
        link.send((("PING",),))


async def test_a_cut_in_the_middle_of_a_reply_fails_that_call(proxy: TcpProxy, open_link: OpenLink) -> None:
    """Half a reply is no reply; the calls answered before it have theirs."""
    link = await open_link(proxy.port)
    proxy.cut_after = len(b"$5\r\nwhole\r\n$5\r\nbro")
    whole, broken = link.send((("ECHO", "whole"),)), link.send((("ECHO", "broken"),))
    assert await whole == [b"whole"]
    with pytest.raises(StoreUnavailable):
        await broken


async def test_a_frozen_redis_is_given_up_on_in_time(
    start_redis: Callable[..., RedisServer], open_link: OpenLink
) -> None:
    """Without an answer to the oldest call within the time-out, the link is dropped and all calls fail."""
    server = start_redis()
    link = await open_link(server.port)
    await link.send((("PING",),))
    server.pause()
    before = time.monotonic()
    first = link.send((("PING",),))
    await asyncio.wait([first], timeout=TIMEOUT / 2)
    second = link.send((("PING",),))
    for call in (first, second):
        with pytest.raises(StoreUnavailable):
            await call
    assert TIMEOUT <= time.monotonic() - before < TIMEOUT + 0.2
    assert "no answer" in link.lost.result()


async def test_a_late_but_timely_answer_is_taken(
    start_redis: Callable[..., RedisServer], open_link: OpenLink
) -> None:
    """The time-out counts from each call's own start: a pause shorter than it harms nobody."""
    server = start_redis()
    link = await open_link(server.port)
    for _ in range(4):
        server.pause()
        call = link.send((("PING",),))
        await asyncio.wait([call], timeout=TIMEOUT / 2)
        server.resume()
        assert await call == [b"PONG"]


async def test_a_held_up_loop_does_not_blame_redis(redis_server: RedisServer, open_link: OpenLink) -> None:
    """Replies that came while this process did something else are read before anything is overdue."""
    link = await open_link(redis_server.port)
    calls: list[asyncio.Future[list[object]]] = []

    def hold_up() -> None:
        loop.remove_reader(ready)
        calls.append(link.send((("PING",),)))
        link._flush()
        deadline = time.monotonic() + 2 * TIMEOUT
        while time.monotonic() < deadline:
            pass

    # In a callback for a socket, after which uvloop looks at its timers before it reads on.
    loop = asyncio.get_running_loop()
    ready, other = socket.socketpair()
    with ready, other:
        loop.add_reader(ready, hold_up)
        other.send(b"x")
        await eventually_async(lambda: calls)
    assert await calls[0] == [b"PONG"]
    assert not link.lost.done()


# uvloop's clock goes by milliseconds.
CLOCK_STEP = 0.002


async def test_one_timer_watches_all_calls(redis_server: RedisServer, open_link: OpenLink) -> None:
    """Ten thousand calls never have two timers at a time: one is started when the one before it is over."""
    link = await open_link(redis_server.port)
    loop = asyncio.get_running_loop()
    pending = [link._watch] if link._watch else []
    early: list[float] = []

    def call_later(delay: float, *args: Any) -> asyncio.TimerHandle:
        early.extend(each.when() - loop.time() for each in pending if each.when() > loop.time() + CLOCK_STEP)
        pending[:] = [loop.call_later(delay, *args)]
        return pending[0]

    link._loop = Mock(wraps=loop, call_later=Mock(side_effect=call_later))
    link._trip_seconds = 1.0  # else there is a timer of its own
    for _ in range(100):
        await asyncio.gather(*(link.send((("PING",),)) for _ in range(100)))
    assert link._loop.call_later.called
    assert early == []


async def test_too_much_in_flight_is_refused(
    start_redis: Callable[..., RedisServer], open_link: OpenLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Redis does not answer, calls beyond a number are refused at once."""
    monkeypatch.setattr(link_module, "MAX_IN_FLIGHT", 50)
    server = start_redis()
    link = await open_link(server.port)
    server.pause()
    calls = [link.send((("ECHO", str(number)),)) for number in range(50)]
    with pytest.raises(StoreUnavailable):
        link.send((("PING",),))
    server.resume()
    assert await asyncio.gather(*calls) == [[str(number).encode()] for number in range(50)]
    assert await link.send((("PING",),)) == [b"PONG"]


async def test_too_much_unsent_is_refused(
    start_redis: Callable[..., RedisServer], open_link: OpenLink
) -> None:
    """While Redis does not read, calls are refused beyond some bytes; what was taken is still answered."""
    server = start_redis()
    link = await open_link(server.port)
    server.pause()
    giant = b"x" * 3 * link_module.MAX_UNSENT
    taken = [link.send((("ECHO", giant),)), link.send((("ECHO", "taken"),))]
    await eventually_async(lambda: link._paused, timeout=TIMEOUT)
    with pytest.raises(StoreUnavailable):
        link.send((("PING",),))
    server.resume()
    assert await asyncio.gather(*taken) == [[giant], [b"taken"]]
    await eventually_async(lambda: not link._paused)
    assert await link.send((("PING",),)) == [b"PONG"]


@pytest.mark.parametrize("forged", [b"nonsense\r\n", b"+OK\r\n", b"$-7\r\n", b"*9999999999999\r\n"])
async def test_bytes_that_answer_nothing_end_the_link(
    proxy: TcpProxy, open_link: OpenLink, forged: bytes
) -> None:
    """After garbage, or a reply to no command, no reply could be trusted: the link is dropped."""
    link = await open_link(proxy.port)
    proxy.forge_reply(forged)
    async with asyncio.timeout(2):
        assert "protocol error" in await link.lost


async def test_garbage_in_flight_fails_the_calls(proxy: TcpProxy, open_link: OpenLink) -> None:
    """A call that waits when garbage comes fails and is not answered with it."""
    link = await open_link(proxy.port)
    proxy.swallow_replies = True
    call = link.send((("PING",),))
    proxy.forge_reply(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(StoreUnavailable):
        await call


async def test_pushes_are_no_replies(redis_server: RedisServer, open_link: OpenLink) -> None:
    """What Redis pushes of its own accord stands between replies and shifts none."""
    link, other = await open_link(redis_server.port), await open_link(redis_server.port)
    await link.send((("CLIENT", "TRACKING", "ON"), ("GET", "key")))
    for number in range(20):
        await other.send((("SET", "key", number),))
        assert await link.send((("GET", "key"), ("ECHO", "x"))) == [str(number).encode(), b"x"]


@pytest.mark.parametrize("code", ["LOADING", "READONLY", "MASTERDOWN", "NOAUTH"])
async def test_replies_that_make_the_connection_useless_end_it(
    proxy: TcpProxy, open_link: OpenLink, code: str
) -> None:
    """After a reply that says "not here" or "not now", the link is dropped, so that another is opened."""
    link = await open_link(proxy.port)
    proxy.swallow_replies = True
    call = link.send((("GET", "key"),))
    proxy.forge_reply(f"-{code} whatever follows\r\n".encode())
    with pytest.raises(FailedReplies):
        await call
    assert code in link.lost.result()


async def test_a_connection_with_unread_bytes_is_not_taken_over(proxy: TcpProxy) -> None:
    """Bytes that redis-py has received but not read would be lost: such a connection is refused."""
    connection = await connection_to(proxy.port)
    proxy.forge_reply(b"+OK\r\n")
    await eventually_async(lambda: connection._reader._buffer)
    with pytest.raises(RedisConnectionError, match="unasked"):
        Link(connection, TIMEOUT, Told())
    await connection.disconnect()


async def test_a_connection_that_ended_is_not_taken_over(proxy: TcpProxy) -> None:
    """A connection that ended between greeting and hand-over is refused."""
    connection = await connection_to(proxy.port)
    proxy.cut()
    await eventually_async(lambda: connection._writer.transport.is_closing() or connection._reader.at_eof())
    with pytest.raises(RedisConnectionError, match="ended"):
        Link(connection, TIMEOUT, Told())
    await connection.disconnect()


PING: bytes = b"*1\r\n$4\r\nPING\r\n"


async def test_a_question_is_sent_at_once_with_what_waits(
    redis_server: RedisServer, open_link: OpenLink
) -> None:
    """It needs no turn of the loop; replies find their way to who asked either way."""
    link = await open_link(redis_server.port)
    link._transport = Mock(wraps=link._transport)
    taken: list[Any] = []
    before = link.send((("ECHO", "before"),))
    link.ask([PING, PING], 2, taken.append)
    link._transport.write.assert_called_once()
    after = link.send((("ECHO", "after"),))
    assert [await before, await after] == [[b"before"], [b"after"]]
    assert taken == [[b"PONG", b"PONG"]]


async def test_a_question_is_told_what_goes_wrong(redis_server: RedisServer, open_link: OpenLink) -> None:
    """An error reply, a link that is lost, and one that was lost before."""
    link = await open_link(redis_server.port)
    taken: list[Any] = []
    link.ask([PING, b"*1\r\n$8\r\nNONSENSE\r\n"], 2, taken.append)
    await link.send((("PING",),))
    assert taken[0].replies[0] == b"PONG"
    assert isinstance(taken[0].replies[1], ResponseError)
    link.ask([PING], 1, taken.append)
    link.drop("for a test")
    link.ask([PING], 1, taken.append)
    assert [type(each) for each in taken[1:]] == [StoreUnavailable, StoreUnavailable]


async def test_who_takes_replies_wrongly_harms_nobody(
    redis_server: RedisServer, open_link: OpenLink, caplog: pytest.LogCaptureFixture
) -> None:
    """What a callback raises is logged, and the link goes on."""
    link = await open_link(redis_server.port)

    def take(_: object) -> None:
        raise RuntimeError("a mistake")

    link.ask([PING], 1, take)
    assert await link.send((("ECHO", "after"),)) == [b"after"]
    assert "replies of redis not dealt with" in caplog.text
