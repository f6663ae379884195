"""HTTP/2 frame by frame: any bytes in fields, and shapes that no library sends."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

import pytest

from tests.engine.carrier import CHAT, ECHO, METADATA_BYTES, Carrier
from tests.engine.wire import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    block,
    fields,
    frames,
    message,
    plain,
)
from tests.engine.wire import grpc as call_of
from tests.support.waiting import eventually_async

Carry = Callable[..., Carrier]

Fields = list[tuple[bytes, bytes]]

_PLACES: Final = [
    b":method",
    b":scheme",
    b":authority",
    b":path",
    b"x-value",
    b"content-length",
    b"te",
    b"cookie",
]


def _with_byte(place: bytes, byte: int) -> Fields:
    """A request's fields, with a byte in one of its values, or in a name."""
    value = bytes([byte])
    if place == b"name":
        return [*fields(), (b"x" + value + b"y", b"z")]
    if place == b"first of a name":
        return [*fields(), (value + b"y", b"z")]
    if place.startswith(b":"):
        return [(name, old + value if name == place else old) for name, old in fields()]
    return [*fields(), (place, value)]


async def _fire(carrier: Carrier, requests: list[Fields], body: bytes | None = None) -> int:
    """Make requests, on a new connection where one has ended the last; how many were answered."""
    answered, waiting = 0, iter(requests)
    request = next(waiting, None)
    while request:
        async with frames(carrier) as client:
            while request:
                answered += await client.answer(await client.request(request, body)) is not None
                request = next(waiting, None)
                if not await client.pinged():
                    break
    return answered


async def _all_counted(carrier: Carrier, fired: int, answered: int) -> None:
    """Each was answered, or is counted as malformed; the engine lives."""
    await eventually_async(lambda: carrier.count("malformed") == fired - answered)
    assert len(carrier.calls) == answered
    assert carrier.count("calls") == 0
    async with frames(carrier) as client:
        assert await client.answer(await client.request(fields()))


@pytest.mark.parametrize("place", [*_PLACES, b"name", b"first of a name"], ids=bytes.decode)
async def test_any_byte_anywhere_is_answered_or_ended(carry: Carry, place: bytes) -> None:
    """Any byte anywhere is answered or ended."""
    # h2 ends the connection for what is no text where text must be; the rest it resets.
    carrier = carry()
    answered = await _fire(carrier, [_with_byte(place, byte) for byte in range(256)])
    assert answered < 256
    await _all_counted(carrier, 256, answered)


@pytest.mark.parametrize("place", [b":path", b":authority", b"x-value"], ids=bytes.decode)
async def test_any_byte_in_a_call_of_grpc_is_answered_or_ended(carry: Carry, place: bytes) -> None:
    """Any byte in a call of gRPC is answered or ended."""
    carrier = carry()
    whole = call_of(ECHO, x_value=b"v")
    requests = [
        [(name, old + bytes([byte]) if name == place else old) for name, old in whole] for byte in range(256)
    ]
    answered = await _fire(carrier, requests, message(b"a"))
    assert answered < 256
    await _all_counted(carrier, 256, answered)


async def test_malformed_requests_are_counted_while_their_connection_lives(carry: Carry) -> None:
    """Malformed requests are counted while their connection lives."""
    carrier = carry()
    async with frames(carrier) as client:
        for _ in range(11):
            assert await client.answer(await client.request(fields(b""))) is None
        assert await client.pinged()
        assert carrier.count("malformed") >= 10
    await eventually_async(lambda: carrier.count("malformed") == 11)


_WHOLE: Final = fields()
MALFORMED: Final = {
    "no method": _WHOLE[1:],
    "no scheme": [_WHOLE[0], *_WHOLE[2:]],
    "no path": _WHOLE[:3],
    "empty path": fields(b""),
    "path without a slash": fields(b"a"),
    "two paths": [*_WHOLE, _WHOLE[3]],
    "unknown pseudo-header": [*_WHOLE, (b":x", b"y")],
    "status": [*_WHOLE, (b":status", b"200")],
    "pseudo-header after a field": [(b"x", b"y"), *_WHOLE],
    "upper case": [*_WHOLE, (b"X", b"y")],
    "connection": [*_WHOLE, (b"connection", b"close")],
    "transfer-encoding": [*_WHOLE, (b"transfer-encoding", b"chunked")],
    "te": [*_WHOLE, (b"te", b"gzip")],
    "empty name": [*_WHOLE, (b"", b"y")],
    "line in a value": [*_WHOLE, (b"x", b"y\r\nz: a")],
    "bad length": [*_WHOLE, (b"content-length", b"-1")],
    "length without a body": [*_WHOLE, (b"content-length", b"5")],
    "connect with a path": fields(b"/x", b"CONNECT"),
}


@pytest.mark.parametrize("headers", MALFORMED.values(), ids=MALFORMED)
async def test_malformed_requests_are_reset_or_refused(carry: Carry, headers: Fields) -> None:
    """Malformed requests are reset or refused."""
    carrier = carry()
    async with frames(carrier) as client:
        answered = await client.answer(await client.request(headers))
        assert answered is None or answered[0][":status"] in {"400", "200"}
        if answered and answered[0][":status"] == "200":
            # Read without doubt: the path has been completed.
            assert json.loads(answered[1])["path"] in {"/", "/x", ""}
    await eventually_async(lambda: carrier.count("malformed") + len(carrier.calls) == 1)
    assert carrier.count("calls") == 0
    async with frames(carrier) as client:
        assert await client.answer(await client.request(fields()))


async def test_paths_of_every_form_are_answered(carry: Carry) -> None:
    """Paths of every form are answered."""
    carrier = carry()
    seen = []
    async with frames(carrier) as client:
        for path in (b"*", b"http://other/abs?q", b"//a", b"/a?b?c#d", b"/%ff%00", b"/" + b"a" * 60_000):
            answered = await client.answer(await client.request(fields(path, b"OPTIONS")))
            seen.append(json.loads(answered[1])["path"] if answered else None)
        assert await client.pinged()
    await eventually_async(lambda: carrier.count("malformed") + len(carrier.calls) == 6)
    assert seen[0] == "*"
    assert seen[2:5] == ["//a", "/a", "/%ff%00"]


async def test_connect_is_refused(carry: Carry) -> None:
    """Connect is refused."""
    carrier = carry()
    async with frames(carrier) as client:
        answered = await client.answer(
            await client.request([(b":method", b"CONNECT"), (b":authority", b"h:1")])
        )
        assert answered
        assert answered[0][":status"] == "400"
        assert await client.answer(await client.request(fields()))


async def test_host_is_the_authority(carry: Carry) -> None:
    """Host is the authority."""
    carrier = carry()
    async with frames(carrier) as client:
        await client.answer(await client.request([*fields(), (b"host", b"other")]))
    [call] = carrier.calls
    assert call.values("host") == ["h"]
    assert [value for name, value in call.headers() if name == b"host"] == [b"h"]


async def test_header_fields_beyond_all_bounds_are_431(carry: Carry) -> None:
    """Header fields beyond all bounds are 431."""
    carrier = carry()
    async with frames(carrier) as client:
        stream = await client.request([*fields(), (b"x", b"y" * 60_000), (b"z", b"y" * 60_000)])
        answered = await client.answer(stream)
        assert answered
        assert answered[0][":status"] == "431"
        assert await client.answer(await client.request(fields()))
    assert len(carrier.calls) == 1


@pytest.mark.parametrize("target", [b"/x?" + b"q" * METADATA_BYTES, b"/" + b"x" * METADATA_BYTES])
async def test_a_request_s_target_counts_as_its_header_fields_do(carry: Carry, target: bytes) -> None:
    """What Python is to look at is within the limit, wherever it stands."""
    carrier = carry()
    async with frames(carrier) as client:
        for sent in (target[:-1_000], target):
            assert await client.answer(await client.request(fields(sent)))
    faults = [call.fault for call in carrier.calls]
    assert faults == [None, ("metadata_too_large", f"the metadata has more than {METADATA_BYTES} bytes")]


async def test_trailers_padding_and_priority_are_passed_over(carry: Carry) -> None:
    """Trailers padding and priority are passed over."""
    async with frames(carry()) as client:
        await client.send(PRIORITY, 0, 7, b"\0\0\0\0\x10")
        stream = await client.begin_request(call_of(ECHO))
        await client.send(DATA, PADDED, stream, b"\x05" + message(b"pad") + bytes(5))
        await client.send(DATA, 0, stream)
        await client.send(HEADERS, END_STREAM | END_HEADERS, stream, block([(b"x-trailer", b"y")]))
        answered = await client.answer(stream)
        assert answered
        assert answered[1] == message(b"pad")
        client.last_stream += 2
        padded = b"\x03" + b"\0\0\0\0\x10" + block(fields()) + bytes(3)
        await client.send(HEADERS, END_STREAM | END_HEADERS | PADDED | 0x20, client.last_stream, padded)
        assert await client.answer(client.last_stream)


async def test_requests_may_stay_half_open(carry: Carry) -> None:
    """Requests may stay half open."""
    carrier = carry()
    async with frames(carrier) as client:
        stream = await client.begin_request(call_of(CHAT))
        await client.send(DATA, 0, stream, message(b"one"))
        assert await client.until(DATA, stream=stream)
        carrier.engine.finish(carrier.calls[0].id, 0, "")
        answered = await client.answer(stream)
        assert answered
        # The rest of the request is not wanted.
        reset = await client.until(RST_STREAM, stream=stream)
        assert reset
        assert int.from_bytes(reset.payload, "big") == 0
        await client.send(DATA, 0, stream, message(b"two"))
        assert await client.pinged()


BROKEN: Final = {
    "data on stream 0": (DATA, 0, 0, b"x"),
    "headers on stream 0": (HEADERS, END_HEADERS, 0, block(fields())),
    "headers on an even stream": (HEADERS, END_HEADERS, 2, block(fields())),
    "bad compression": (HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff"),
    "index that is not there": (HEADERS, END_HEADERS, 1, b"\xfe"),
    "table that is too large": (HEADERS, END_HEADERS, 1, b"\x3f\xe1\xff\x03" + block(fields())),
    "push": (PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2" + block(fields())),
    "settings of five bytes": (SETTINGS, 0, 0, bytes(5)),
    "settings on a stream": (SETTINGS, 0, 1, b""),
    "window of zero for the connection": (WINDOW_UPDATE, 0, 0, bytes(4)),
    "window too large": (WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"),
    "reset of an idle stream": (RST_STREAM, 0, 99, bytes(4)),
    "data on an idle stream": (DATA, 0, 99, b"x"),
    "continuation alone": (CONTINUATION, END_HEADERS, 1, block(fields())),
    "padding longer than the frame": (DATA, PADDED, 1, b"\xff"),
    "frame that is too large": (DATA, 0, 1, bytes(20_000)),
    "ping of three bytes": (6, 0, 0, bytes(3)),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
async def test_a_broken_connection_is_ended(carry: Carry, broken: tuple[int, int, int, bytes]) -> None:
    """A broken connection is ended."""
    carrier = carry()
    async with frames(carrier) as client:
        await client.send(*broken)
        await client.ended()
    await eventually_async(lambda: carrier.count("connections") == 0)
    async with frames(carrier) as client:
        assert await client.answer(await client.request(fields()))


async def test_header_fields_that_never_end_are_late(carry: Carry) -> None:
    """Header fields that never end are late."""
    carrier = carry(handshake_seconds=0.2, age_seconds=0.5, age_grace_seconds=0.1)
    async with frames(carrier) as client:
        await client.send(HEADERS, 0, 1, block(fields()))
        await client.ended()
    assert carrier.calls == []


async def test_a_connection_that_never_says_its_settings_is_ended(carry: Carry) -> None:
    """A connection that never says its settings is ended."""
    carrier = carry(handshake_seconds=0.2, idle_seconds=0.2, age_grace_seconds=0.2)
    for begun in (PREFACE[:10], PREFACE):
        async with plain(carrier) as connection:
            await connection.send(begun)
            await connection.rest()
    await eventually_async(lambda: carrier.count("connections") == 0)
    assert carrier.count("failed_handshakes") == 1


async def test_a_body_is_not_read_beyond_its_calls_deadline(carry: Carry) -> None:
    """Nothing of a call that is over is kept: not for the time that a request without a deadline may take."""
    carrier = carry(request_seconds=60.0)
    async with frames(carrier) as client:
        stream = await client.begin_request(call_of(ECHO, grpc_timeout=b"50m"))
        await client.send(DATA, 0, stream, b"\0\0\0\0\x09half")
        reset = await client.until(RST_STREAM, stream=stream)
        assert reset is not None
        await eventually_async(lambda: carrier.engine.counts()["calls"] == 0)
