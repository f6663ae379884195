"""gRPC-Web, binary and text, over both versions of HTTP."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import pytest

from tests.engine.carrier import CHAT, ECHO, FEED, MESSAGE_BYTES, PIECE, Carrier
from tests.engine.wire import fields, frames, message, plain
from tests.support.waiting import eventually_async

Carry = Callable[..., Carrier]
BINARY: Final = "application/grpc-web+proto"
TEXT: Final = "application/grpc-web-text+proto"


async def _ask(
    carrier: Carrier, http2: bool, kind: str, path: str, body: bytes, **more: bytes
) -> tuple[dict[str, str], bytes]:
    """Make a call; the body is given and got without base64."""
    sent = base64.b64encode(body) if kind == TEXT else body
    if http2:
        async with frames(carrier) as client:
            headers = fields(path.encode(), b"POST", content_type=kind.encode(), **more)
            answered = await client.answer(await client.request(headers, sent))
            assert answered
            got, received = answered
    else:
        async with plain(carrier) as connection:
            lines = [
                f"POST {path} HTTP/1.1",
                "host: h",
                f"content-type: {kind}",
                f"content-length: {len(sent)}",
            ]
            lines += [f"{name.replace('_', '-')}: {value.decode()}" for name, value in more.items()]
            await connection.send("\r\n".join([*lines, "", ""]).encode() + sent)
            response = await connection.response()
            got, received = {":status": str(response.status)} | response.headers, response.body
    assert got[":status"] == "200"
    assert got["content-type"] == kind
    return got, _decoded(received) if kind == TEXT else received


def _decoded(body: bytes) -> bytes:
    """Base64 whose pieces are padded each by itself."""
    return b"".join(base64.b64decode(body[place : place + 4]) for place in range(0, len(body), 4))


def _trailers(*lines: bytes) -> bytes:
    whole = b"".join(line + b"\r\n" for line in lines)
    return b"\x80" + len(whole).to_bytes(4, "big") + whole


both_http = pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
both_kinds = pytest.mark.parametrize("kind", [BINARY, TEXT], ids=["binary", "text"])


@both_http
@both_kinds
@pytest.mark.parametrize("sent", [b"", b"a", bytes(range(256)) * 100], ids=len)
async def test_a_unary_call(carry: Carry, http2: bool, kind: str, sent: bytes) -> None:
    """A unary call."""
    carrier = carry()
    _, body = await _ask(carrier, http2, kind, ECHO, message(sent))
    assert body == message(sent) + _trailers(b"grpc-status:0")
    [call] = carrier.calls
    assert call.web
    assert call.message == sent


@both_http
@both_kinds
async def test_an_error(carry: Carry, http2: bool, kind: str) -> None:
    """An error."""
    headers, body = await _ask(carry(), http2, kind, ECHO, message(b"fail"))
    assert headers["x-initial"] == "1"
    text = "größer als 50 %25%0D%0A".replace("ö", "%C3%B6").replace("ß", "%C3%9F").encode()
    assert body == _trailers(b"grpc-status:16", b"grpc-message:" + text, b"x-trailing:2", b"x-bytes-bin:AAE")


@both_http
@both_kinds
async def test_a_stream(carry: Carry, http2: bool, kind: str) -> None:
    """A stream."""
    carrier = carry()
    _, body = await _ask(carrier, http2, kind, CHAT, message(b"one") + message(b"two"))
    assert body == message(b"one+two") + _trailers(b"grpc-status:0")
    assert carrier.calls[0].web


@both_http
@both_kinds
async def test_faults_reach_python(carry: Carry, http2: bool, kind: str) -> None:
    """Faults reach Python."""
    carrier = carry()
    await _ask(carrier, http2, kind, ECHO, message(b"x" * (MESSAGE_BYTES + 1)))
    await _ask(carrier, http2, kind, ECHO, message(b"x")[:-1])
    await _ask(carrier, http2, kind, ECHO, message(b"x"), grpc_timeout=b"1")
    await _ask(carrier, http2, kind, "/t.S/No", message(b"x"))
    kinds = [call.fault and call.fault[0] for call in carrier.calls]
    assert kinds == ["message_too_large", "malformed_request", "malformed_metadata", "unknown_method"]


@both_http
async def test_text_that_is_no_base64_is_a_fault(carry: Carry, http2: bool) -> None:
    """Text that is no base64 is a fault."""
    carrier = carry()
    for path in (ECHO, CHAT):
        async with _sent(carrier, http2, path, b"****"):
            await eventually_async(partial(_called, carrier, path))
    await eventually_async(lambda: carrier.count("calls") == 0)
    assert carrier.calls[0].fault
    assert carrier.calls[0].fault[0] == "malformed_request"
    [end] = carrier.events[carrier.calls[1].id]
    assert end[1][0] == "malformed_request"


@asynccontextmanager
async def _sent(carrier: Carrier, http2: bool, path: str, body: bytes) -> AsyncIterator[None]:
    """Send a body of gRPC-Web text as it is, and look at no answer."""
    if http2:
        async with frames(carrier) as client:
            await client.request(fields(path.encode(), b"POST", content_type=TEXT.encode()), body)
            yield
    else:
        async with plain(carrier) as connection:
            lines = [
                f"POST {path} HTTP/1.1",
                "host: h",
                f"content-type: {TEXT}",
                f"content-length: {len(body)}",
            ]
            await connection.send("\r\n".join([*lines, "", ""]).encode() + body)
            yield


@both_http
async def test_a_deadline(carry: Carry, http2: bool) -> None:
    """A deadline."""
    carrier = carry()
    _, body = await _ask(carrier, http2, BINARY, ECHO, message(b"hang"), grpc_timeout=b"50m")
    assert body == _trailers(b"grpc-status:4", b"grpc-message:Deadline Exceeded")
    await eventually_async(lambda: carrier.gone() == [True])


async def test_a_stream_over_http1_waits_for_its_client(carry: Carry) -> None:
    """A stream over HTTP/1 waits for its client."""
    carrier = carry()
    async with plain(carrier, limit=1 << 14) as connection:
        head = f"POST {FEED} HTTP/1.1\r\nhost: h\r\ncontent-type: {BINARY}\r\ncontent-length: 5\r\n\r\n"
        await connection.send(head.encode() + message(b""))
        before = await _still(lambda: carrier.count_events(2))
        assert before * len(PIECE) < 16 << 20
        connection.close()
        await eventually_async(lambda: carrier.gone() == [False])


def _called(carrier: Carrier, path: str) -> bool:
    return any(call.path == path for call in carrier.calls)


async def _still(measure: Callable[[], int]) -> int:
    """Wait until a number above zero does not grow for fifty looks."""
    seen = [-1] * 50

    def still() -> bool:
        seen.append(measure())
        return seen[-1] > 0 and seen[-1] == seen[-50]

    await eventually_async(still, timeout=20)
    return seen[-1]
