"""Connections that end by age, idleness or order: no request is lost with them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from tests.engine.carrier import ECHO, FEED, MUTE, Carrier
from tests.engine.wire import GOAWAY, WINDOW_UPDATE, Frames, fields, frames, message, plain
from tests.engine.wire import grpc as call_of
from tests.support import waiting
from tests.support.waiting import eventually_async

Carry = Callable[..., Carrier]


async def _fire(carrier: Carrier, until: float, pace: float) -> tuple[int, int]:
    """Make requests of HTTP/1 one after another, each on the connection before while it lasts.

    Returns how many were answered, and how many connections ended without an answer to what was sent.
    """
    answered = unanswered = 0
    while time.monotonic() < until:
        async with plain(carrier) as connection:
            while time.monotonic() < until:
                try:
                    response = await connection.get()
                except (EOFError, ConnectionError):
                    unanswered += 1
                    break
                answered += 1
                if response.headers.get("connection") == "close":
                    assert await connection.rest() == b""
                    break
                await waiting.until(time.monotonic() + pace)
    return answered, unanswered


async def test_no_request_is_lost_around_the_age(carry: Carry) -> None:
    """No request is lost around the age."""
    carrier = carry(age_seconds=0.05, age_grace_seconds=1)
    until = time.monotonic() + 2
    ends = await asyncio.gather(*[_fire(carrier, until, pace / 1_000) for pace in range(0, 40, 4)])
    assert sum(unanswered for _, unanswered in ends) == 0
    assert sum(answered for answered, _ in ends) == len(carrier.calls)


async def test_no_request_is_taken_around_the_idle_end_without_an_answer(carry: Carry) -> None:
    """No request is taken around the idle end without an answer."""
    carrier = carry(idle_seconds=0.02)
    until = time.monotonic() + 2
    ends = await asyncio.gather(*[_fire(carrier, until, (19 + pace) / 1_000) for pace in range(10)])
    assert sum(answered for answered, _ in ends) == len(carrier.calls)


async def test_an_idle_connection_of_http1_is_closed_cleanly(carry: Carry) -> None:
    """An idle connection of HTTP/1 is closed cleanly."""
    carrier = carry(idle_seconds=0.2)
    async with plain(carrier) as connection:
        await connection.get()
        began = time.monotonic()
        assert await connection.rest() == b""
        assert 0.15 < time.monotonic() - began < 1


async def test_age_is_announced_by_http1(carry: Carry) -> None:
    """Age is announced by HTTP/1."""
    carrier = carry(age_seconds=0.1, age_grace_seconds=0.3)
    async with plain(carrier) as idle, plain(carrier) as used:
        assert "connection" not in (await idle.get()).headers
        began = time.monotonic()

        async def last() -> bool:
            return (await used.get()).headers.get("connection") == "close"

        await eventually_async(last)
        assert 0.05 < time.monotonic() - began < 0.5
        assert await used.rest() == b""
        assert await idle.rest() == b""
        assert 0.35 < time.monotonic() - began < 1


@pytest.mark.parametrize("http2", [False, True])
async def test_a_stream_does_not_outlive_age_and_grace(carry: Carry, http2: bool) -> None:
    """A stream does not outlive age and grace."""
    carrier = carry(age_seconds=0.1, age_grace_seconds=0.2)
    began = time.monotonic()
    if http2:
        async with frames(carrier) as client:
            await client.begin_request(call_of(MUTE))
            await client.ended()
    else:
        async with plain(carrier) as connection:
            await connection.send(b"GET /hang HTTP/1.1\r\nhost: h\r\n\r\n")
            assert await connection.rest() == b""
    assert 0.25 < time.monotonic() - began < 1
    await eventually_async(lambda: carrier.gone() == [False])
    assert carrier.count("timed_out") == 1


async def test_ages_differ(carry: Carry) -> None:
    """Ages differ."""
    carrier = carry(age_seconds=1, age_grace_seconds=5)

    async def age() -> float:
        began = time.monotonic()
        async with frames(carrier) as client:
            await client.until(GOAWAY)
            return time.monotonic() - began

    ages = sorted(await asyncio.gather(*[age() for _ in range(40)]))
    assert 0.89 < ages[0] < 1
    assert ages[-1] - ages[0] > 0.1


async def _goes_away_softly(client: Frames, carrier: Carrier, stream: int) -> None:
    """The client is told to begin nothing more; what it has begun is finished."""
    assert await client.until(GOAWAY)
    second = await client.until(GOAWAY)
    assert second
    assert int.from_bytes(second.payload[:4], "big") == stream
    assert int.from_bytes(second.payload[4:8], "big") == 0
    carrier.engine.answer([(carrier.calls[-1].id, b"finished")])
    answered = await client.answer(stream)
    assert answered
    assert answered[1] == message(b"finished")
    await client.ended()


async def test_windows_of_requests_that_come_too_late_do_not_end_those_under_way(carry: Carry) -> None:
    """What grpc-core sends with each request must not end the connection when the request is passed over."""
    carrier = carry()
    async with frames(carrier) as client:
        stream = await client.request(call_of(ECHO), message(b"hang"))
        await eventually_async(lambda: carrier.calls)
        carrier.engine.stop_listening()
        assert await client.until(GOAWAY)
        assert await client.until(GOAWAY)
        late = await client.request(call_of(ECHO), message(b"late"))
        await client.send(WINDOW_UPDATE, 0, late, (5).to_bytes(4, "big"))
        assert await client.pinged()
        await client.send(WINDOW_UPDATE, 0, stream, (5).to_bytes(4, "big"))
        carrier.engine.answer([(carrier.calls[0].id, b"finished")])
        answered = await client.answer(stream)
        assert answered
        assert answered[1] == message(b"finished")
        await client.ended()
    assert len(carrier.calls) == 1


@pytest.mark.parametrize("by_age", [False, True])
async def test_calls_under_way_are_finished_after_goaway(carry: Carry, by_age: bool) -> None:
    """Calls under way are finished after GOAWAY."""
    carrier = carry(age_seconds=0.2 if by_age else 600)
    async with frames(carrier) as client:
        stream = await client.request(call_of(ECHO), message(b"hang"))
        await eventually_async(lambda: carrier.calls)
        if not by_age:
            carrier.engine.stop_listening()
        await _goes_away_softly(client, carrier, stream)


async def test_no_request_is_lost_around_goaway(carry: Carry) -> None:
    """No request is lost around GOAWAY."""
    carrier = carry(age_seconds=0.05)
    until = time.monotonic() + 2
    async with grpc.aio.insecure_channel(carrier.address) as channel:
        echo: Any = channel.unary_unary(ECHO)
        made = 0
        while time.monotonic() < until:
            await asyncio.gather(*[echo(b"x") for _ in range(10)])
            made += 10
    assert carrier.count("accepted") == made


async def test_an_idle_connection_of_http2_is_told_to_end(carry: Carry) -> None:
    """An idle connection of HTTP/2 is told to end."""
    carrier = carry(idle_seconds=0.3)
    async with frames(carrier) as client:
        began = time.monotonic()
        while time.monotonic() < began + 1:
            assert await client.answer(await client.request(fields()))
            await waiting.until(time.monotonic() + 0.05)
        assert not [frame for frame in client.seen if frame.kind == GOAWAY]
        began = time.monotonic()
        assert await client.until(GOAWAY)
        assert 0.25 < time.monotonic() - began < 1
        await client.ended()


async def test_a_stream_keeps_its_connection_from_being_idle(carry: Carry) -> None:
    """A stream keeps its connection from being idle."""
    carrier = carry(idle_seconds=0.1)
    async with frames(carrier) as client:
        stream = await client.begin_request(call_of(MUTE))
        other = time.monotonic()
        async with frames(carrier) as idle:
            await idle.ended()
        assert time.monotonic() - other < 1
        await client.reset(stream)
        assert await client.until(GOAWAY)
    assert len(carrier.calls) == 1


async def test_connections_of_http1_are_told_to_end_when_nothing_more_is_accepted(carry: Carry) -> None:
    """Connections of HTTP/1 are told to end when nothing more is accepted."""
    carrier = carry()
    async with plain(carrier) as connection, plain(carrier) as busy:
        await connection.get()
        await busy.send(b"GET /hang HTTP/1.1\r\nhost: h\r\n\r\n")
        await eventually_async(lambda: len(carrier.calls) == 2)
        carrier.engine.stop_listening()
        # What was on its way is answered.
        assert (await connection.get()).headers["connection"] == "close"
        assert await connection.rest() == b""
        carrier.engine.respond(carrier.calls[1].id, 200, [], b"")
        assert (await busy.response()).headers["connection"] == "close"
        assert await busy.rest() == b""
    with pytest.raises(ConnectionError):
        async with plain(carrier):
            pass


async def test_a_dead_client_is_noticed_by_pings(carry: Carry) -> None:
    """A dead client is noticed by pings."""
    carrier = carry(ping_seconds=0.1, ping_timeout_seconds=0.2)
    async with frames(carrier) as client:
        client.answers_pings = False
        await client.begin_request(call_of(MUTE))
        began = time.monotonic()
        await client.ended()
        assert 0.25 < time.monotonic() - began < 1
    assert carrier.count("timed_out") == 1
    await eventually_async(lambda: carrier.gone() == [False])


async def test_a_client_that_answers_pings_lives_on(carry: Carry) -> None:
    """A client that answers pings lives on."""
    carrier = carry(ping_seconds=0.05, ping_timeout_seconds=0.2)
    async with frames(carrier) as client:
        await client.begin_request(call_of(MUTE))
        began = time.monotonic()
        while time.monotonic() < began + 0.6:
            assert await client.next()
        assert await client.pinged()


async def test_a_stalled_stream_ends_with_its_connection(carry: Carry) -> None:
    """A stalled stream ends with its connection."""
    carrier = carry(age_seconds=0.2, age_grace_seconds=0.2)
    async with frames(carrier) as client:
        await client.begin_request(call_of(FEED))
        await client.ended()
    await eventually_async(lambda: carrier.gone() == [False])
