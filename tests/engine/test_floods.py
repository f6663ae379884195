"""Frames that cost a server work and a client nothing: many end a connection, honest ones do not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import pytest

from tests.engine.carrier import ECHO, MUTE, Carrier
from tests.engine.wire import (
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Frames,
    block,
    fields,
    frame,
    frames,
    message,
)
from tests.engine.wire import grpc as call_of
from tests.support.waiting import eventually_async

Carry = Callable[..., Carrier]

FLOODS: Final = {
    "pings": frame(PING, 0, 0, bytes(8)),
    "settings": frame(SETTINGS, 0, 0, b"\0\4\0\0\xff\xff"),
    "empty data": frame(DATA, 0, 1),
    "priorities": frame(PRIORITY, 0, 7, b"\0\0\0\0\x10"),
    "windows": frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1"),
    "windows of the connection": frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"),
    "resets": frame(RST_STREAM, 0, 1, CANCEL),
    "unknown frames": frame(0xBE, 0, 0, b"x"),
    "padding": frame(DATA, 8, 1, b"\0"),
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
async def test_a_flood_ends_the_connection(carry: Carry, flood: bytes) -> None:
    """A flood ends the connection."""
    carrier = carry()
    async with frames(carrier) as client:
        await client.begin_request(call_of(MUTE))
        await eventually_async(lambda: carrier.calls)
        await _pour(client, flood * 100, 300)
    await eventually_async(lambda: carrier.count("floods") == 1)
    await eventually_async(lambda: carrier.gone() == [False])
    await _lives(carrier)


async def _pour(client: Frames, flood: bytes, times: int) -> None:
    """Send until the connection ends."""
    reading = asyncio.create_task(client.ended())
    for _ in range(times):
        if reading.done() or client.connection.writer.is_closing():
            break
        await client.connection.send(flood)
    await asyncio.wait_for(reading, 10)


async def _lives(carrier: Carrier) -> None:
    async with frames(carrier) as client:
        assert await client.answer(await client.request(fields()))


@pytest.mark.parametrize("piece", [b"", b"x" * 10])
async def test_a_flood_of_continuations_ends_the_connection(carry: Carry, piece: bytes) -> None:
    """A flood of continuations ends the connection."""
    carrier = carry()
    async with frames(carrier) as client:
        await client.send(HEADERS, 0, 1, block(fields()))
        await _pour(client, frame(CONTINUATION, 0, 1, block([(b"x", piece)]) if piece else b"") * 10, 2_000)
    await eventually_async(lambda: carrier.count("floods") == 1)
    await _lives(carrier)


async def test_rapid_resets_end_the_connection(carry: Carry) -> None:
    """Rapid resets end the connection."""
    carrier = carry()
    carrier.taking = False
    async with frames(carrier) as client:
        rapid = bytearray()
        for stream in range(1, 40_001, 2):
            rapid += frame(HEADERS, END_STREAM | END_HEADERS, stream, block(fields()))
            rapid += frame(RST_STREAM, 0, stream, CANCEL)
        reading = asyncio.create_task(client.ended())
        await client.connection.send(bytes(rapid))
        await asyncio.wait_for(reading, 10)
    await eventually_async(lambda: carrier.count("floods") == 1)
    await eventually_async(lambda: carrier.count("calls") == 0)
    carrier.taking = True
    carrier._take()
    await _lives(carrier)


async def test_an_honest_client_may_cancel_half_of_its_calls(carry: Carry) -> None:
    """An honest client may cancel half of its calls."""
    carrier = carry()
    async with frames(carrier) as client:
        await client.open_wide()
        until = time.monotonic() + 3
        while time.monotonic() < until:
            streams = [await client.request(call_of(ECHO), message(b"x")) for _ in range(50)]
            for stream in streams[::2]:
                await client.reset(stream)
            assert await client.answer(streams[-1])
        assert await client.pinged()
    assert carrier.count("floods") == 0
    assert carrier.count("connections") <= 1


MADE_RESETS: Final = {
    "window of zero": frame(WINDOW_UPDATE, 0, -1 & 0x7FFFFFFF, bytes(4)),
    "window too large": frame(WINDOW_UPDATE, 0, -1 & 0x7FFFFFFF, b"\x7f\xff\xff\xff"),
    "data after the end": frame(DATA, 0, -1 & 0x7FFFFFFF, b"x"),
}


@pytest.mark.parametrize("shape", MADE_RESETS.values(), ids=MADE_RESETS)
async def test_resets_that_the_server_is_made_to_send_end_the_connection(carry: Carry, shape: bytes) -> None:
    """Resets that the server is made to send end the connection."""
    carrier = carry()
    async with frames(carrier) as client:
        made = bytearray()
        for stream in range(1, 20_001, 2):
            made += frame(HEADERS, END_STREAM | END_HEADERS, stream, block(call_of("/hang")[:-2]))
            made += shape.replace((-1 & 0x7FFFFFFF).to_bytes(4, "big"), stream.to_bytes(4, "big"), 1)
        reading = asyncio.create_task(client.ended())
        await client.connection.send(bytes(made))
        await asyncio.wait_for(reading, 10)
    await eventually_async(lambda: carrier.count("connections") == 0)
    await eventually_async(lambda: carrier.count("calls") == 0)
    # The others end the connection at once.
    assert carrier.count("floods") == (shape.endswith(b"\x7f\xff\xff\xff"))
    await _lives(carrier)


async def test_honest_pings_and_windows_are_no_flood(carry: Carry) -> None:
    """Honest pings and windows are no flood."""
    carrier = carry()
    async with frames(carrier) as client:
        for number in range(1_500):
            stream = await client.request(call_of(ECHO), message(b"x" * 100))
            await client.send(PING, 0, 0, bytes(8))
            await client.send(WINDOW_UPDATE, 0, 0, b"\0\0\0\x69")
            if number % 50 == 49:
                assert await client.answer(stream)
        assert await client.pinged()
    assert carrier.count("floods") == 0
