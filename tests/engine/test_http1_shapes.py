"""HTTP/1 requests whose end could be read in two ways are refused, or are the last of their connection."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

import pytest

from tests.engine.carrier import Carrier
from tests.engine.wire import plain
from tests.support.waiting import eventually_async

Carry = Callable[..., Carrier]

_SECOND: Final = b"GET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n"
_CHUNKED: Final = b"transfer-encoding: chunked\r\n"

REFUSED: Final = {
    "two lengths": b"content-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
    "list of lengths": b"content-length: 5, 6\r\n\r\nabcdef",
    "signed length": b"content-length: +5\r\n\r\nabcde",
    "negative length": b"content-length: -1\r\n\r\n",
    "hex length": b"content-length: 0x5\r\n\r\nabcde",
    "spaced length": b"content-length: 5 5\r\n\r\nabcde",
    "empty length": b"content-length: \r\n\r\n",
    "huge length": b"content-length: 99999999999999999999999\r\n\r\n",
    "length before the colon": b"content-length : 5\r\n\r\nabcde",
    "folded": b"x: a\r\n b\r\n\r\n",
    "folded encoding": b"transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "vertical tab": b"transfer-encoding: chunked\x0b\r\n\r\n0\r\n\r\n",
    "vertical tab first": b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "not chunked": b"transfer-encoding: identity\r\n\r\n",
    "not chunked at last": b"transfer-encoding: chunked, gzip\r\n\r\n",
    "chunked in a name": b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "nul in a name": b"x\0y: a\r\n\r\n",
    "nul in a value": b"x: a\0b\r\n\r\n",
    "carriage return in a value": b"x: a\rb\r\n\r\n",
    "no colon": b"transfer-encoding chunked\r\n\r\n",
    "empty name": b": a\r\n\r\n",
    "space in a name": b"x y: a\r\n\r\n",
    "high byte in a name": b"x\xff: a\r\n\r\n",
    "too many": b"x: y\r\n" * 300 + b"\r\n",
    "too large": b"x: " + b"y" * 400_000 + b"\r\n\r\n",
}

FAULTY: Final = {
    "second host": b"host: other\r\n\r\n",
    "bad size": _CHUNKED + b"\r\nx\r\n",
    "negative size": _CHUNKED + b"\r\n-1\r\n\r\n",
    "huge size": _CHUNKED + b"\r\nfffffffffffffffff\r\n",
    "spaced size": _CHUNKED + b"\r\n1 1\r\nabc\r\n0\r\n\r\n",
    "no end of a chunk": _CHUNKED + b"\r\n1\r\nabc\r\n0\r\n\r\n",
    "bare line feed in an extension": _CHUNKED + b"\r\n1;a\nb\r\nx\r\n0\r\n\r\n",
    "extensions without end": _CHUNKED + b"\r\n1;" + b"a" * 100_000 + b"\r\nx\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("rest", REFUSED.values(), ids=REFUSED)
async def test_what_is_ambiguous_is_refused(carry: Carry, rest: bytes) -> None:
    """What is ambiguous is refused."""
    carrier = carry()
    async with plain(carrier) as connection:
        await connection.send(b"POST /a HTTP/1.1\r\nhost: h\r\n" + rest + _SECOND)
        answer = await connection.rest()
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))
    assert answer.count(b"HTTP/1.1") == 1
    assert b"connection: close\r\n" in answer
    assert carrier.calls == []
    await eventually_async(lambda: carrier.count("malformed") == 1)


@pytest.mark.parametrize("rest", FAULTY.values(), ids=FAULTY)
async def test_what_is_wrong_later_never_becomes_a_second_request(carry: Carry, rest: bytes) -> None:
    """What is wrong later never becomes a second request."""
    carrier = carry()
    async with plain(carrier) as connection:
        await connection.send(b"POST /a HTTP/1.1\r\nhost: h\r\n" + rest)
        second = rest.startswith(b"host") and b"GET /x HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"
        await connection.send(second or _SECOND)
        answer = await connection.rest()
    assert not answer.startswith(b"HTTP/1.1 2")
    assert "/smuggled" not in [call.path for call in carrier.calls]
    await eventually_async(lambda: carrier.count("calls") == 0)


_NO_CHUNKS: Final = [name for name, rest in FAULTY.items() if rest.startswith(_CHUNKED)]


@pytest.mark.parametrize("name", _NO_CHUNKS)
async def test_chunks_that_are_none_are_a_fault_of_the_request(carry: Carry, name: str) -> None:
    """It is in the books and answered, as a length that is none is, and is the last of its connection."""
    carrier = carry()
    async with plain(carrier) as connection:
        await connection.send(b"POST /a HTTP/1.1\r\nhost: h\r\n" + FAULTY[name] + _SECOND)
        answer = await connection.rest()
    assert b"connection: close\r\n" in answer
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"\r\n\r\n") == 1
    [call] = carrier.calls
    assert call.fault == ("malformed_request", "the body is not chunked as HTTP/1.1 demands")


async def test_a_client_that_leaves_within_a_chunk_is_no_fault(carry: Carry) -> None:
    """Nobody waits for an answer."""
    carrier = carry()
    async with plain(carrier) as connection:
        await connection.send(b"POST /a HTTP/1.1\r\nhost: h\r\n" + _CHUNKED + b"\r\n5\r\nab")
        await eventually_async(lambda: carrier.count("calls") == 1)
        connection.writer.write_eof()
        assert await connection.rest() == b""
    await eventually_async(lambda: carrier.count("calls") == 0)
    assert carrier.calls == []


@pytest.mark.parametrize(
    "fields",
    [
        b"content-length: 4\r\ntransfer-encoding: chunked\r\n",
        b"transfer-encoding: chunked\r\ncontent-length: 4\r\n",
    ],
)
async def test_a_length_beside_chunks_ends_the_connection(carry: Carry, fields: bytes) -> None:
    """A length beside chunks ends the connection."""
    carrier = carry()
    async with plain(carrier) as connection:
        await connection.send(b"POST /a HTTP/1.1\r\nhost: h\r\n" + fields + b"\r\n0\r\n\r\n" + _SECOND)
        response = await connection.response()
        assert response.headers["connection"] == "close"
        assert await connection.rest() == b""
    assert [call.path for call in carrier.calls] == ["/a"]
    assert not carrier.calls[0].values("content-length")


async def test_what_is_unusual_but_unambiguous_is_read(carry: Carry) -> None:
    """What is unusual but unambiguous is read."""
    carrier = carry()
    async with plain(carrier) as connection:
        for rest in (
            b"content-length: 3\r\ncontent-length: 3\r\n\r\nabc",
            b"content-length:   3  \r\n\r\nabc",
        ):
            await connection.send(b"POST /a HTTP/1.1\r\nhost: h\r\n" + rest)
            assert json.loads((await connection.response()).body)["body"] == "abc"
        await connection.send(b"\r\nGET /b HTTP/1.1\nHOST: h\n\n")
        assert json.loads((await connection.response()).body)["path"] == "/b"
        await connection.send(b"GET /c?\xc3\xa4=%00&a=b%0d%0a HTTP/1.1\r\nhost: h\r\nx: \xe4\xff\r\n\r\n")
        assert json.loads((await connection.response()).body)["path"] == "/c"
    assert carrier.calls[-1].values("x") == ["\xe4\xff"]


@pytest.mark.parametrize(
    "line",
    [
        b"GET /a HTTP/1.2",
        b"GET /a HTTP/2.0",
        b"GET /a HTTP/0.9",
        b"GET /a",
        b"GET  /a HTTP/1.1",
        b"GET /a  HTTP/1.1",
        b"GET /a\tHTTP/1.1",
        b" GET /a HTTP/1.1",
        b"G\0T /a HTTP/1.1",
        b"GET /a\0 HTTP/1.1",
        b"GET /a\x7f HTTP/1.1",
        b"GET /\xff HTTP/1.1",
        b"GET a HTTP/1.1",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n",
    ],
    ids=lambda line: repr(line[:20]),
)
async def test_no_request_line_hangs(carry: Carry, line: bytes) -> None:
    """No request line hangs."""
    carrier = carry()
    async with plain(carrier) as connection:
        await connection.send(line + b"\r\nhost: h\r\nconnection: close\r\n\r\n")
        assert b"HTTP/1.1" in await connection.rest()
    await eventually_async(lambda: carrier.count("malformed") + len(carrier.calls) == 1)


async def test_any_byte_anywhere_is_answered(carry: Carry) -> None:
    """Any byte anywhere is answered."""
    carrier = carry()
    places = [b"GET /%s HTTP/1.1\r\nhost: h\r\n", b"G%sT / HTTP/1.1\r\nhost: h\r\n"]
    places += [b"GET / HTTP/1.1\r\nhost: h%s\r\n", b"GET / HTTP/1.1\r\nhost: h\r\nx%sy: z\r\n"]
    places += [b"GET / HTTP/1.1\r\nhost: h\r\nx: y%sz\r\n", b"GET / HTTP/1.%s\r\nhost: h\r\n"]
    fired = 0
    for place in places:
        for byte in range(256):
            async with plain(carrier) as connection:
                await connection.send(place % bytes([byte]) + b"connection: close\r\n\r\n")
                answer = await connection.rest()
            assert answer.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")), (place, byte)
            fired += 1
    # One more: after a line feed the rest is a request of its own, and no good one.
    await eventually_async(lambda: carrier.count("malformed") + len(carrier.calls) == fired + 1)
    async with plain(carrier) as connection:
        assert (await connection.get("/x")).status == 200
