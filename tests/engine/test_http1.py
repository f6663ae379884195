"""HTTP/1: what is kept alive, read and answered."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from functools import partial

import pytest

from tests.engine.carrier import BODY_BYTES, Carrier, package
from tests.engine.wire import plain
from tests.support.waiting import eventually_async

Carry = Callable[..., Carrier]


async def test_a_connection_is_kept_alive(carry: Carry) -> None:
    """A connection is kept alive."""
    carrier = carry()
    async with plain(carrier) as connection:
        for number in range(5):
            response = await connection.get(f"/path?number={number}")
            assert response.status == 200
            assert "connection" not in response.headers
            told = json.loads(response.body)
            assert (told["path"], told["query"]) == ("/path", f"number={number}")
            assert told["host"] == ["h"]
    assert {call.kind for call in carrier.calls} == {package.HTTP}


async def test_pipelined_requests_are_answered_in_order(carry: Carry) -> None:
    """Pipelined requests are answered in order."""
    async with plain(carry()) as connection:
        await connection.send(b"".join(b"GET /%d HTTP/1.1\r\nhost: h\r\n\r\n" % n for n in range(50)))
        paths = [json.loads((await connection.response()).body)["path"] for _ in range(50)]
    assert paths == [f"/{number}" for number in range(50)]


async def test_http_1_0_is_answered(carry: Carry) -> None:
    """HTTP/1.0 is answered."""
    carrier = carry()
    async with plain(carrier) as connection:
        await connection.send(b"GET /a HTTP/1.0\r\n\r\n")
        answer = await connection.rest()
    assert answer.startswith(b"HTTP/1.0 200 OK\r\n")
    assert b'"path": "/a"' in answer
    async with plain(carrier) as connection:
        for _ in range(2):
            await connection.send(b"GET /a HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
            assert (await connection.response()).headers["connection"] == "keep-alive"
    async with plain(carrier) as connection:
        await connection.send(b"GET /pieces?abc HTTP/1.0\r\n\r\n")
        assert (await connection.rest()).endswith(b"\r\n\r\nabc")


async def test_head_has_the_length_and_no_body(carry: Carry) -> None:
    """Head has the length and no body."""
    async with plain(carry()) as connection:
        length = (await connection.get("/a")).headers["content-length"]
        await connection.send(b"HEAD /a HTTP/1.1\r\nhost: h\r\n\r\n")
        response = await connection.response(head=True)
        assert int(response.headers["content-length"]) == int(length) + len("HEAD") - len("GET")
        assert (await connection.get("/b")).status == 200


async def test_a_body_is_read_however_it_is_sent(carry: Carry) -> None:
    """A body is read however it is sent."""
    async with plain(carry()) as connection:
        head = b"POST /a HTTP/1.1\r\nhost: h\r\n"
        await connection.send(head + b"content-length: 3\r\n\r\nabc")
        assert json.loads((await connection.response()).body)["body"] == "abc"
        await connection.send(head + b"expect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        assert (await connection.response()).status == 100
        await connection.send(b"abc")
        assert json.loads((await connection.response()).body)["body"] == "abc"
        await connection.send(
            head + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n2;x=y\r\nbc\r\n0\r\nt: u\r\n\r\n"
        )
        response = await connection.response()
        assert json.loads(response.body)["body"] == "abc"
        assert response.headers["connection"] == "close"
        assert await connection.rest() == b""


@pytest.mark.parametrize("path", ["/a", "/large"])
async def test_a_body_over_its_limit_is_a_fault_and_the_answer_arrives(carry: Carry, path: str) -> None:
    """A body over its limit is a fault and the answer arrives."""
    carrier = carry()
    limit = BODY_BYTES * (4 if path == "/large" else 1)
    for size in (limit, limit + 1, 40 * limit):
        head = f"POST {path} HTTP/1.1\r\nhost: h\r\ncontent-length: {size}\r\n\r\n"
        async with plain(carrier) as connection:
            await connection.send(head.encode() + b"b" * size)
            told = json.loads((await connection.response()).body)
        assert len(told["body"]) == (size if size == limit else 0)
        assert (told["fault"] or [None])[0] == (None if size == limit else "message_too_large")


async def test_pieces_are_a_whole_body_only_if_they_are_closed(carry: Carry) -> None:
    """Pieces are a whole body only if they are closed."""
    carrier = carry(response_seconds=0.2)
    async with plain(carrier) as connection:
        assert (await connection.get("/pieces?abc")).body == b"abc"
        assert (await connection.get("/x")).status == 200
    carrier.on_call = _begin_and_abort(carrier)
    async with plain(carrier) as connection:
        await connection.send(b"GET /x HTTP/1.1\r\nhost: h\r\n\r\n")
        answer = await connection.rest()
    assert not answer.endswith(b"0\r\n\r\n")


def _begin_and_abort(carrier: Carrier) -> Callable[[package.Call], None]:
    def serve(call: package.Call) -> None:
        carrier.engine.start(call.id, [])
        carrier.engine.abort(call.id)

    return serve


async def test_an_answer_that_streams_may_take_longer_than_one_has_to_begin(carry: Carry) -> None:
    """An answer that streams may take longer than one has to begin."""
    carrier = carry(response_seconds=0.1)
    carrier.on_call = lambda call: carrier.engine.start(call.id, [])
    async with plain(carrier) as connection:
        await connection.send(b"GET /x HTTP/1.1\r\nhost: h\r\n\r\n")
        await eventually_async(lambda: carrier.calls)
        [call] = carrier.calls
        # Something else runs into the time meanwhile, on a connection of its own.
        carrier.on_call = carrier.leave
        async with plain(carrier) as other:
            assert (await other.get("/x")).status == 504
        carrier.engine.write(call.id, b"late")
        await eventually_async(lambda: carrier.events[call.id] == [(package.WRITABLE, None)])
        carrier.engine.close(call.id)
        assert (await connection.response()).body == b"late"


async def test_no_answer_in_time_is_504(carry: Carry) -> None:
    """No answer in time is 504."""
    carrier = carry(response_seconds=0.2)
    async with plain(carrier) as connection:
        began = time.monotonic()
        response = await connection.get("/hang")
        assert 0.19 < time.monotonic() - began < 1
        assert response.status == 504
        await eventually_async(lambda: carrier.gone() == [True])
        assert (await connection.get("/x")).status == 200


async def test_a_body_that_does_not_arrive_is_late(carry: Carry) -> None:
    """A body that does not arrive is late."""
    carrier = carry(request_seconds=0.2)
    async with plain(carrier) as connection:
        await connection.send(b"POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nab")
        told = json.loads((await connection.response()).body)
    assert told["fault"][0] == "late"


@pytest.mark.parametrize("begun", [b"", b"G", b"GET /a HTTP/1.1\r\nhost: h\r\nx:"])
@pytest.mark.parametrize("earlier", [0, 1])
async def test_a_head_that_does_not_arrive_is_answered_with_408(
    carry: Carry, begun: bytes, earlier: int
) -> None:
    """A head that does not arrive is answered with 408."""
    carrier = carry(handshake_seconds=0.3, idle_seconds=0.5)
    async with plain(carrier) as connection:
        for _ in range(earlier):
            await connection.get()
        began = time.monotonic()
        await connection.send(begun)
        answer = await connection.rest()
        assert 0.2 < time.monotonic() - began < 1.5
    assert answer.startswith(b"HTTP/1.1 408 ") if begun else answer == b""
    await eventually_async(lambda: carrier.count("connections") == 0)


async def test_a_head_that_comes_byte_by_byte_is_late_too(carry: Carry) -> None:
    """A head that comes byte by byte is late too."""
    carrier = carry(handshake_seconds=0.3)
    async with plain(carrier) as connection:
        began = time.monotonic()
        await connection.send(b"GET /a HTTP/1.1\r\nx: ")
        answered = False

        async def drip() -> bool:
            nonlocal answered
            await connection.send(b"x")
            answered = connection.reader.at_eof() or bool(connection.reader._buffer)  # type: ignore[attr-defined]
            return answered

        await eventually_async(drip)
        assert time.monotonic() - began < 1
        assert (await connection.rest()).startswith(b"HTTP/1.1 408 ")


async def test_a_client_that_leaves_is_noticed(carry: Carry) -> None:
    """A client that leaves is noticed."""
    carrier = carry()
    for number, path in enumerate(("/hang", "/feed"), 1):
        async with plain(carrier) as connection:
            await connection.send(f"GET {path} HTTP/1.1\r\nhost: h\r\n\r\n".encode())
            await eventually_async(partial(_taken, carrier, number))
            left = time.monotonic()
        await eventually_async(partial(_gone, carrier, number))
        assert time.monotonic() - left < 1
    assert carrier.gone() == [False, False]
    await eventually_async(lambda: carrier.count("connections") == 0)


def _taken(carrier: Carrier, calls: int) -> bool:
    return len(carrier.calls) == calls


def _gone(carrier: Carrier, calls: int) -> bool:
    return len(carrier.gone()) == calls


async def test_upgrades_are_not_taken_up(carry: Carry) -> None:
    """Upgrades are not taken up."""
    upgrades = [
        b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n",
    ]
    async with plain(carry()) as connection:
        for upgrade in upgrades:
            await connection.send(b"GET /authz HTTP/1.1\r\nhost: h\r\n" + upgrade + b"\r\n")
            assert (await connection.response()).status == 200
        assert (await connection.get("/x")).status == 200


async def test_any_verb_but_connect_is_carried(carry: Carry) -> None:
    """Any verb but connect is carried."""
    carrier = carry()
    for request in [b"CONNECT h:1", b"OPTIONS *", b"BREW /pot", b"GET http://other/abs?q"]:
        async with plain(carrier) as connection:
            await connection.send(request + b" HTTP/1.1\r\nhost: h\r\n\r\n")
            assert (await connection.response()).status == (400 if request.startswith(b"CONNECT") else 200)
    seen = [(call.verb, call.path, call.query) for call in carrier.calls]
    assert seen[1:] == [("OPTIONS", "*", ""), ("BREW", "/pot", ""), ("GET", "/abs", "q")]
    assert carrier.calls[-1].values("host") == ["other"]
    assert [value for name, value in carrier.calls[-1].headers() if name == b"host"] == [b"other"]


async def test_an_aborted_call_ends_the_connection(carry: Carry) -> None:
    """An aborted call ends the connection."""
    async with plain(carry()) as connection:
        await connection.send(b"GET /abort HTTP/1.1\r\nhost: h\r\n\r\n")
        assert await connection.rest() == b""


async def test_a_client_that_takes_nothing_is_ended(carry: Carry) -> None:
    """A client that takes nothing is ended."""
    carrier = carry(ping_timeout_seconds=0.3)
    async with plain(carrier, limit=1 << 12) as connection:
        await connection.send(b"GET /big?30000000 HTTP/1.1\r\nhost: h\r\n\r\n")
        await eventually_async(lambda: carrier.calls)
        await eventually_async(lambda: carrier.count("connections") == 0)
    assert carrier.count("timed_out") == 1


async def test_nothing_is_written_into_the_middle_of_an_answer(carry: Carry) -> None:
    """Nothing is written into the middle of an answer."""
    carrier = carry(handshake_seconds=0.1, ping_timeout_seconds=0.4)
    async with plain(carrier, limit=1 << 12) as connection:
        await connection.send(b"GET /big?30000000 HTTP/1.1\r\nhost: h\r\n\r\nGET /half")
        await eventually_async(lambda: carrier.calls)
        await connection.send(b"-of-a-request HTTP/1.1\r\n")
        await eventually_async(lambda: carrier.count("connections") == 0)
        with contextlib.suppress(ConnectionError):
            assert b"HTTP/1.1 408" not in await connection.rest()
