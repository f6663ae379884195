"""Flow control both ways: what is not taken is bounded in memory and time."""

from __future__ import annotations

import contextlib
import gc
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.engine.carrier import CHAT, ECHO, FEED, MUTE, PIECE, Carrier, package
from tests.engine.wire import (
    DATA,
    RST_STREAM,
    WINDOW_UPDATE,
    Frames,
    fields,
    frames,
    message,
)
from tests.engine.wire import grpc as call_of
from tests.support.waiting import eventually_async

Carry = Callable[..., Carrier]

NO_WINDOW: Final = b"\0\4\0\0\0\0"
"""SETTINGS_INITIAL_WINDOW_SIZE = 0."""


def _resident() -> int:
    """Bytes of memory that this process has."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4_096


def _resets(client: Frames) -> int:
    return sum(frame.kind == RST_STREAM for frame in client.seen)


async def test_a_stream_waits_for_its_client(carry: Carry) -> None:
    """A stream waits for its client."""
    carrier = carry()
    async with frames(carrier, NO_WINDOW) as client:
        stream = await client.begin_request(call_of(FEED))
        await eventually_async(lambda: carrier.calls)
        assert await client.pinged()
        assert carrier.count_events(package.WRITABLE) == 0
        await client.send(WINDOW_UPDATE, 0, stream, len(PIECE).to_bytes(4, "big"))
        taken = 0
        while taken < len(PIECE):
            found = await client.until(DATA)
            assert found
            taken += len(found.payload)
        assert await client.pinged()
        # Five bytes of the first message are still to come.
        assert carrier.count_events(package.WRITABLE) == 0
        await client.send(WINDOW_UPDATE, 0, stream, (5).to_bytes(4, "big"))
        await eventually_async(lambda: carrier.count_events(package.WRITABLE) == 1)


async def test_a_client_that_sends_ahead_has_to_wait(carry: Carry) -> None:
    """A client that sends ahead has to wait."""
    carrier = carry()
    async with frames(carrier) as client:
        stream = await client.begin_request(call_of(MUTE))
        for _ in range(4):
            await client.send(DATA, 0, stream, message(b"x" * 15_000))
        assert await client.pinged()
        assert not [frame for frame in client.seen if frame.kind == WINDOW_UPDATE and frame.stream == stream]
        carrier.engine.more(carrier.calls[0].id)
        await eventually_async(lambda: carrier.count_events(package.MESSAGES) == 1)
        # Beyond its window it is reset.
        for _ in range(10):
            await client.send(DATA, 0, stream, message(b"x" * 15_000))
        assert await client.until(RST_STREAM, 7)


async def test_messages_of_a_stream_come_only_when_asked_for(carry: Carry) -> None:
    """Messages of a stream come only when asked for."""
    carrier = carry()
    carrier.on_call = carrier.leave
    async with frames(carrier) as client:
        stream = await client.begin_request(call_of(CHAT))
        await client.send(DATA, 0, stream, message(b"one") + message(b"two"))
        assert await client.pinged()
        [call] = carrier.calls
        assert carrier.events[call.id] == []
        carrier.engine.start(call.id, [])
        carrier.engine.more(call.id)
        await eventually_async(lambda: carrier.events[call.id])
        assert carrier.events[call.id][0] == (package.MESSAGES, [b"one", b"two"])


@pytest.mark.parametrize("size", [100, 100_000])
async def test_answers_that_a_client_leaves_no_room_for_are_ended(carry: Carry, size: int) -> None:
    """Answers that a client leaves no room for are ended."""
    carrier = carry(ping_timeout_seconds=0.3, age_seconds=1, age_grace_seconds=0.2)
    async with frames(carrier, NO_WINDOW) as client:
        for _ in range(10):
            await client.request(call_of(ECHO), message(b"big%d" % size))
            await client.request(fields(b"/big?%d" % size))
        await eventually_async(lambda: len(carrier.calls) == 20)
        seen = await client.ended()
        resets = [frame for frame in seen if frame.kind == RST_STREAM]
        assert len(resets) == (20 if size > 4_096 else 0)
    await eventually_async(lambda: carrier.count("connections") == 0)
    assert carrier.count("calls") == 0


async def test_answers_larger_than_the_window_arrive_whole(carry: Carry) -> None:
    """Answers larger than the window arrive whole."""
    carrier = carry()
    async with frames(carrier) as client:
        unary = await client.request(call_of(ECHO), message(b"big200000"))
        page = await client.request(fields(b"/big?200000"))
        bodies = {unary: 0, page: 0}
        while sum(bodies.values()) < 400_005:
            found = await client.until(DATA)
            assert found
            bodies[found.stream] += len(found.payload)
            if found.payload:
                room = len(found.payload).to_bytes(4, "big")
                await client.send(WINDOW_UPDATE, 0, found.stream, room)
                await client.send(WINDOW_UPDATE, 0, 0, room)
    assert bodies == {unary: 200_005, page: 200_000}


async def test_what_waits_for_one_connection_is_bounded(carry: Carry) -> None:
    """What waits for one connection is bounded."""
    carrier = carry()
    before = _resident()
    async with frames(carrier, NO_WINDOW) as client:
        for _ in range(200):
            await client.request(call_of(ECHO), message(b"big1000000"))
        await eventually_async(lambda: len(carrier.calls) == 200)
        resets = 0
        while resets < 184:
            assert await client.until(RST_STREAM)
            resets += 1
        assert _resident() - before < 100 << 20
        assert await client.pinged()


async def test_what_waits_for_all_connections_is_bounded(carry: Carry) -> None:
    """What waits for all connections is bounded: many of them, each within its own bound, are so too."""
    carrier = carry()
    before = _resident()
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(frames(carrier, NO_WINDOW)) for _ in range(20)]
        for client in clients:
            for _ in range(10):
                await client.request(fields(b"/big?1000000"))
        await eventually_async(lambda: len(carrier.calls) == 200)
        # Within the bound of all there is room for those of six clients, and for seven answers more.
        resets = 0
        for client in clients[7:]:
            while _resets(client) < 10:
                assert await client.until(RST_STREAM)
            resets += _resets(client)
        assert resets == 130
        assert _resident() - before < 120 << 20
    # What has left makes room again.
    await eventually_async(lambda: carrier.count("connections") == 0)
    async with frames(carrier, NO_WINDOW) as client:
        await client.request(fields(b"/big?1000000"))
        await eventually_async(lambda: len(carrier.calls) == 201)
        assert await client.pinged()
        assert not _resets(client)


async def test_a_client_that_reads_nothing_is_bounded_and_ended(carry: Carry) -> None:
    """A client that reads nothing is bounded and ended."""
    carrier = carry(ping_timeout_seconds=0.4)
    before = _resident()
    opener = b"\0\4\x7f\xff\xff\xff"
    async with frames(carrier, opener, limit=1 << 12) as client:
        await client.open_wide()
        for _ in range(20):
            await client.begin_request(call_of(FEED))
        await eventually_async(lambda: len(carrier.calls) == 20)
        await eventually_async(lambda: carrier.gone() == [False] * 20)
        assert _resident() - before < 100 << 20
    await eventually_async(lambda: carrier.count("connections") == 0)
    assert carrier.count("timed_out") == 1


async def test_a_call_that_is_finished_within_a_message_is_reset(carry: Carry) -> None:
    """A call that is finished within a message is reset."""
    carrier = carry(ping_timeout_seconds=0.2)
    async with frames(carrier, NO_WINDOW) as client:
        stream = await client.begin_request(call_of(FEED))
        await eventually_async(lambda: carrier.calls)
        await client.send(WINDOW_UPDATE, 0, stream, (10).to_bytes(4, "big"))
        carrier.engine.finish(carrier.calls[0].id, 0, "")
        assert await client.answer(stream) is None
        overdue = await client.begin_request(call_of(FEED, grpc_timeout=b"200m"))
        await eventually_async(lambda: len(carrier.calls) == 2)
        await client.send(WINDOW_UPDATE, 0, overdue, (10).to_bytes(4, "big"))
        assert await client.answer(overdue) is None
    assert carrier.gone() == [True]


async def test_a_client_of_http1_that_reads_nothing_is_bounded(carry: Carry) -> None:
    """A client of HTTP/1 that reads nothing is bounded."""
    carrier = carry(ping_timeout_seconds=0.4)
    with socket.create_connection(("127.0.0.1", carrier.port)) as client:
        client.sendall(b"GET /feed HTTP/1.1\r\nhost: h\r\n\r\n")
        await eventually_async(lambda: carrier.gone() == [False])
        assert carrier.count_events(package.WRITABLE) * len(PIECE) < 32 << 20
