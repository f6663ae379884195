"""How a call inside Envoy ends before its answer: by deadline, by its client, or by the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from session_service.rpc.engines import envoy
from tests.support.asgi import Request, message
from tests.support.waiting import eventually_async


async def echo(request: bytes, _: Any) -> bytes:
    """Answer."""
    return request


class Hanging:
    """A method that never answers, and notes how it ended."""

    def __init__(self) -> None:
        self.begun = 0
        self.cancelled = 0

    async def __call__(self, _: Any, __: Any) -> bytes:
        """Wait for ever."""
        self.begun += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return b""


async def test_a_deadline_is_kept(served: Any) -> None:
    """The handler is cancelled, and the caller told."""
    hanging = Hanging()
    served.unary("hang", hanging)
    request = await served.call(Request("/t.T/hang", message(b""), headers={"grpc-timeout": "1m"}))
    assert (request.status, hanging.cancelled) == ((4, "Deadline Exceeded"), 1)


async def test_a_deadline_cancels_only_once(served: Any) -> None:
    """A handler that tidies up after its deadline is left to it, as in grpc.aio."""
    tidied = asyncio.Event()
    rest = asyncio.Event()

    async def tidy(_: bytes, __: Any) -> bytes:
        try:
            await asyncio.Event().wait()
        finally:
            await rest.wait()
            tidied.set()
        return b""

    served.unary("tidy", tidy)
    call = served.begin(request := Request("/t.T/tidy", message(b""), headers={"grpc-timeout": "1m"}))
    beats = 6 * envoy._BEAT_SECONDS
    asyncio.get_running_loop().call_later(beats, rest.set)
    await call
    assert tidied.is_set()
    assert request.status == (4, "Deadline Exceeded")


async def test_a_request_that_never_arrives_is_given_up(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call whose message stays away ends by itself; a stream may be silent for as long as it likes."""

    async def chat(requests: AsyncIterator[bytes], _: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    monkeypatch.setattr(served.engine, "_patience", 2)
    served.unary("echo", echo)
    served.bidi("chat", chat)
    stream = Request("/t.T/chat", ends=False)
    conversation = served.begin(stream)
    for pieces in ([], [message(b"x")], [b"\0\0\0"]):
        request = await served.call(Request("/t.T/echo", *pieces, ends=False))
        assert request.status == (4, "Deadline Exceeded")
    assert not conversation.done()


async def test_a_client_that_leaves_is_noticed(served: Any) -> None:
    """The handler is cancelled soon, and nothing is sent to nobody."""
    hanging = Hanging()
    served.unary("hang", hanging)
    call = served.begin(request := Request("/t.T/hang", message(b"")))
    await eventually_async(lambda: hanging.begun)
    request.leave()
    await asyncio.wait_for(call, 3)
    assert (hanging.cancelled, request.sent) == (1, [])


async def test_a_client_that_leaves_before_its_request_is_noticed(served: Any) -> None:
    """Half a message and gone: the handler never begins."""
    hanging = Hanging()
    served.unary("hang", hanging)
    call = served.begin(request := Request("/t.T/hang", b"\0\0", ends=False))
    request.leave()
    await asyncio.wait_for(call, 3)
    assert (hanging.begun, request.sent) == (0, [])


async def test_a_stream_whose_client_leaves_is_cancelled(served: Any) -> None:
    """The write that finds nobody ends the handler as a cancellation does."""
    ends: list[str] = []

    async def endless(_: bytes, __: Any) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x"
        finally:
            ends.append("tidied")

    served.server_stream("endless", endless)
    call = served.begin(request := Request("/t.T/endless", message(b"")))
    await eventually_async(lambda: len(request.sent) > 2)
    request.leave()
    await asyncio.wait_for(call, 3)
    await eventually_async(lambda: ends)


async def test_what_is_in_flight_is_cut_off_at_the_end_of_grace(served: Any) -> None:
    """Envoy is asked to send clients elsewhere, then to listen no more; then calls end as UNAVAILABLE."""
    hanging = Hanging()
    served.unary("hang", hanging)
    call = served.begin(request := Request("/t.T/hang", message(b"")))
    await eventually_async(lambda: hanging.begun)
    await served.engine.stop(0.2)
    await call
    assert (request.status, hanging.cancelled) == ((14, "the server stops"), 1)
    assert [asked.partition("?")[0] for asked in served.admin.asked[1:]] == ["POST /drain_listeners"] * 2


async def test_what_is_in_flight_is_finished_within_the_grace(served: Any) -> None:
    """A stop waits for the answer, and no longer."""
    go = asyncio.Event()

    async def slow(request: bytes, _: Any) -> bytes:
        await go.wait()
        return request

    served.unary("slow", slow)
    call = served.begin(request := Request("/t.T/slow", message(b"x")))
    stopping = asyncio.ensure_future(served.engine.stop(60))
    await eventually_async(lambda: len(served.admin.asked) == 3)
    go.set()
    await asyncio.wait_for(stopping, 5)
    assert call.done()
    assert request.status == (0, "")


async def test_callers_that_never_pause_hold_no_stop_up(served: Any) -> None:
    """Who calls again at once is told that the server stops, by gRPC and by HTTP, and is not waited for."""
    hanging = Hanging()
    served.unary("hang", hanging)

    async def call_for_ever() -> None:
        while True:
            await served.call(Request("/t.T/hang", message(b"")))

    callers = [asyncio.ensure_future(call_for_ever()) for _ in range(3)]
    await eventually_async(lambda: hanging.begun == 3)
    await asyncio.wait_for(served.engine.stop(None), 5)
    for each in callers:
        each.cancel()
    assert hanging.begun == 3
    request = await served.call(Request("/t.T/hang", message(b"")))
    assert request.status == (14, "the server stops")


async def test_a_call_that_cannot_be_asked_leaves_the_others_looked_after(
    served: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever Envoy's module raises for one call, the deadlines of all others are kept."""

    class Broken(Request):
        def receive(self) -> Any:
            if self.reads:
                raise RuntimeError("broken")
            return super().receive()

    hanging = Hanging()
    served.unary("hang", hanging)
    served.begin(Broken("/t.T/hang", message(b"")))
    await eventually_async(lambda: "cannot be looked after" in caplog.text)
    request = await served.call(Request("/t.T/hang", message(b""), headers={"grpc-timeout": "1m"}))
    assert request.status[0] == 4


async def test_more_calls_than_can_be_borne_are_turned_away(served: Any) -> None:
    """The limit's last call is served, the next one RESOURCE_EXHAUSTED, and one that ended makes room."""
    hanging = Hanging()
    served.unary("hang", hanging)
    served.unary("echo", echo)
    calls = [Request("/t.T/hang", message(b"")) for _ in range(9)]
    tasks = [served.begin(each) for each in calls]
    await eventually_async(lambda: hanging.begun == 9)
    request = await served.call(Request("/t.T/echo", message(b"")))
    assert request.status[0] == 8
    calls[0].leave()
    await tasks[0]
    request = await served.call(Request("/t.T/echo", message(b"")))
    assert request.status[0] == 0
