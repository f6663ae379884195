"""The native engine's server: calls that are served by a task each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc

from session_service.engines.native.surface import HTTP
from session_service.rpc.http.values import HttpRequest, HttpResponse
from tests.support.native_engine import FakeCall
from tests.support.waiting import eventually_async


async def echo(request: bytes, _: Any) -> bytes:
    """Answer."""
    return request


async def test_a_unary_call_is_answered(served: Any) -> None:
    """One message for one."""
    served.unary("echo", echo)
    await served.start()
    call = await served.call("echo", b"hello")
    assert (call.pieces, call.status) == ([b"hello"], (0, ""))


async def test_a_stream_is_answered_by_yielding_or_writing(served: Any) -> None:
    """Either way of grpc.aio."""

    async def yielding(request: bytes, _: Any) -> AsyncIterator[bytes]:
        yield request
        yield b"2"

    async def writing(request: bytes, context: Any) -> None:
        await context.write(request)
        await context.write(b"2")

    served.server_stream("yielding", yielding)
    served.server_stream("writing", writing)
    fake = await served.start()
    for name in ("yielding", "writing"):
        call = fake.send(f"/t.T/{name}")
        fake.messages(call, b"1")
        fake.end(call)
        await call.end()
        assert (call.pieces, call.status) == ([b"1", b"2"], (0, ""))


async def test_a_conversation_goes_to_and_fro(served: Any) -> None:
    """Each message is answered before the next one comes, by iterating or by reading."""

    async def iterating(requests: AsyncIterator[bytes], _: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    async def reading(_: AsyncIterator[bytes], context: Any) -> None:
        while (request := await context.read()) is not grpc.aio.EOF:
            await context.write(request)

    served.bidi("iterating", iterating)
    served.bidi("reading", reading)
    fake = await served.start()
    for name in ("iterating", "reading"):
        call = fake.send(f"/t.T/{name}")
        for place, text in enumerate((b"a", b"b", b"c"), start=1):
            await eventually_async(partial(_counts, call, asked=place, written=place - 1))
            fake.messages(call, text)
            await eventually_async(partial(_counts, call, asked=place, written=place))
        fake.end(call)
        await call.end()
        assert (call.pieces, call.status) == ([b"a", b"b", b"c"], (0, ""))


async def test_many_messages_may_have_one_answer(served: Any) -> None:
    """The third shape that streams."""

    async def joined(requests: AsyncIterator[bytes], _: Any) -> bytes:
        return b"".join([each async for each in requests])

    served.client_stream("joined", joined)
    fake = await served.start()
    call = fake.send("/t.T/joined")
    fake.messages(call, b"a", b"b")
    fake.end(call)
    await call.end()
    assert (call.pieces, call.status) == ([b"ab"], (0, ""))


async def test_a_response_waits_for_its_reader(served: Any) -> None:
    """The next message is not written before the one before it has left."""

    async def endless(_: bytes, __: Any) -> AsyncIterator[bytes]:
        while True:
            yield b"x"

    served.server_stream("endless", endless)
    fake = await served.start()
    fake.paused = True
    call = fake.send("/t.T/endless")
    fake.messages(call, b"")
    fake.end(call)
    await eventually_async(lambda: bool(call.pieces))
    await served_turns()
    assert call.pieces == [b"x"]
    fake.go(call)
    await eventually_async(lambda: not served.server._calls)


async def test_a_call_that_is_gone_is_cancelled(served: Any) -> None:
    """Its handler is, and no answer is given."""
    ended: list[str] = []

    async def wait(_: bytes, context: Any) -> bytes:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append(f"cancelled {context.cancelled()}")
            raise
        return b""

    served.unary("wait", wait)
    fake = await served.start()
    for overdue in (True, False):
        call = fake.send("/t.T/wait")
        await eventually_async(lambda: bool(served.server._calls))
        fake.go(call, overdue=overdue)
        await eventually_async(lambda: not served.server._calls)
        assert call.status is None
    assert ended == ["cancelled True"] * 2


async def test_what_is_refused_by_name(served: Any) -> None:
    """Each fault of a request has its status."""
    served.unary("echo", echo)
    await served.start()
    expected = {
        "malformed_request": 3,
        "malformed_metadata": 3,
        "message_too_large": 8,
        "metadata_too_large": 8,
        "unknown_encoding": 12,
        "unknown_method": 12,
        "late": 4,
    }
    for kind, code in expected.items():
        call = await served.call("echo", fault=(kind, "what is wrong"))
        assert call.status == (code, "what is wrong" if code != 3 else call.status[1])
    assert (await served.call("other")).status == (12, "Method not found!")


async def test_an_unforeseen_error_has_a_fixed_text(served: Any, caplog: Any) -> None:
    """Never the exception's own."""

    async def fail(_: bytes, __: Any) -> bytes:
        raise RuntimeError("redis://:hunter2@10.0.0.1")

    served.unary("fail", fail)
    await served.start()
    call = await served.call("fail")
    assert call.status == (13, "internal error")
    assert "call failed" in caplog.text


async def test_what_cannot_be_answered_is_reset(served: Any, caplog: Any) -> None:
    """A status that cannot be sent leaves nobody waiting."""

    async def fail(_: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.ABORTED, "", (("x", "\u20ac"),))
        return b""

    served.unary("fail", fail)
    await served.start()
    call = await served.call("fail")
    assert call.status is None
    assert "call not answered" in caplog.text


async def test_pages_answer_plain_http(served: Any) -> None:
    """By path; other paths are not found, and those of gRPC take gRPC."""

    async def page(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, (("x", request.query),), request.method.encode())

    served.unary("echo", echo)
    served.http.add_page("/page", page)
    fake = await served.start()
    found = await fake.send("/page", kind=HTTP, verb="GET", query="a=1").end()
    assert (found.http_status, found.initial, found.pieces) == (
        200,
        [(b"x", b"a=1"), (b"cache-control", b"no-store")],
        [b"GET"],
    )
    assert (await fake.send("/other", kind=HTTP).end()).http_status == 404
    assert (await fake.send("/t.T/echo", kind=HTTP).end()).http_status == 415
    large = await fake.send("/page", kind=HTTP, fault=("message_too_large", "too large")).end()
    assert large.http_status == 413


async def test_a_stop_waits_for_calls_and_cuts_off_the_rest(served: Any) -> None:
    """Within the grace calls end well; after it they are told that the server stops."""
    release = asyncio.Event()

    async def wait(request: bytes, _: Any) -> bytes:
        await (release if request == b"soon" else asyncio.Event()).wait()
        return request

    served.unary("wait", wait)
    fake = await served.start()
    soon, never = fake.send("/t.T/wait", b"soon"), fake.send("/t.T/wait", b"never")
    await eventually_async(lambda: len(served.server._calls) == 2)
    stopping = asyncio.create_task(served.server.stop(0.2))
    await served_turns()
    release.set()
    await stopping
    assert soon.status == (0, "")
    assert never.status == (14, "the server stops")
    assert fake.stopped
    assert fake.down


def _counts(call: FakeCall, *, asked: int, written: int) -> bool:
    return call.asked >= asked and len(call.pieces) == written


async def served_turns() -> None:
    """Let the loop turn a few times."""
    for _ in range(10):
        await asyncio.sleep(0)
