"""What every method passes through: order, statuses, malformed bytes, streaming, silence."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import pytest

from session_service.domain.errors import StoreUnavailable
from session_service.rpc.boundary import Boundary
from tests.support import eventually_async
from tests.support.errors import fails
from tests.support.probe import LIMITS as PROBE_LIMITS

SECRET = "redis://:hunter2@10.0.0.1"
MAX_CALLS = 8
LIMITS = replace(PROBE_LIMITS, max_concurrent_rpcs=MAX_CALLS, max_message_bytes=1000)
BATCH = "/session.v1.SessionService/BatchVerifyTokens"


@dataclass
class Observed:
    """Calls that ended, as the observer was told."""

    calls: list[tuple[str, str]] = field(default_factory=list)

    def call_ended(self, method: str, reason: str, seconds: float) -> None:
        """Keep method and reason."""
        assert seconds >= 0
        self.calls.append((method, reason))


class Service:
    """One method of each kind of outcome and shape."""

    def __init__(self) -> None:
        self.began = asyncio.Event()

    async def echo(self, request: bytes, _: Any) -> bytes:
        """Answer."""
        return request

    async def known(self, _: bytes, __: Any) -> bytes:
        """Fail as the domain does."""
        raise StoreUnavailable(retry_after=2.0)

    async def bug(self, _: bytes, __: Any) -> bytes:
        """Fail as code does."""
        raise RuntimeError(SECRET)

    async def abort(self, _: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        """Fail as a library's servicer does."""
        await context.abort(grpc.StatusCode.NOT_FOUND, "gone")

    async def hang(self, _: bytes, __: Any) -> bytes:
        """Never answer."""
        self.began.set()
        await asyncio.Event().wait()
        return b""

    async def batch(self, request: bytes, context: Any) -> bytes:
        """Answer, or never."""
        return await (self.hang if request == b"hang" else self.echo)(request, context)

    async def count(self, request: bytes, _: Any) -> AsyncIterator[bytes]:
        """Answer twice, then fail if asked to."""
        yield b"1"
        yield b"2"
        if request == b"fail":
            raise RuntimeError(SECRET)

    async def chat(self, requests: AsyncIterator[bytes], _: Any) -> AsyncIterator[bytes]:
        """Answer each request."""
        async for request in requests:
            yield request

    async def tell(self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """Answer each request by writing."""
        async for request in requests:
            await context.write(request)


def _text(raw: bytes) -> bytes:
    """A deserialiser that refuses as protobuf's does."""
    raw.decode()
    return raw


@pytest.fixture
async def observed() -> Observed:
    """An observer that keeps what it is told."""
    return Observed()


@pytest.fixture
async def methods() -> Service:
    """The methods that are served."""
    return Service()


@pytest.fixture
async def channel(observed: Observed, methods: Service) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a real server with the methods mounted through a boundary."""
    server = grpc.aio.server()
    unary: dict[str, Any] = {
        name: grpc.unary_unary_rpc_method_handler(getattr(methods, name), _text)
        for name in ("echo", "known", "bug", "abort", "hang")
    }
    handlers = {
        **unary,
        "count": grpc.unary_stream_rpc_method_handler(methods.count, _text),
        "chat": grpc.stream_stream_rpc_method_handler(methods.chat, _text),
        "tell": grpc.stream_stream_rpc_method_handler(methods.tell, _text),
    }
    boundary = Boundary((server,), observed, LIMITS)
    boundary.add_registered_method_handlers("t.T", handlers)
    boundary.add_registered_method_handlers(
        BATCH.split("/")[1], {"BatchVerifyTokens": grpc.unary_unary_rpc_method_handler(methods.batch)}
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as open_channel:
        yield open_channel
    await server.stop(0)


async def test_an_answer_passes_and_is_counted(channel: Any, observed: Observed) -> None:
    """A good call gives the method's answer; the observer hears OK."""
    assert await channel.unary_unary("/t.T/echo")(b"hello") == b"hello"
    assert observed.calls == [("/t.T/echo", "OK")]


async def test_a_domain_error_becomes_its_status(channel: Any, observed: Observed) -> None:
    """A domain error has its code, reason and RetryInfo."""
    with fails(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE") as failure:
        await channel.unary_unary("/t.T/known")(b"")
    assert failure.retry_seconds == 2.0
    assert observed.calls == [("/t.T/known", "STORE_UNAVAILABLE")]


async def test_a_bug_is_logged_and_not_told(
    channel: Any, observed: Observed, caplog: pytest.LogCaptureFixture
) -> None:
    """An unforeseen exception reaches the log with its trace and the caller as a fixed text."""
    with caplog.at_level(logging.ERROR), fails(grpc.StatusCode.INTERNAL, "INTERNAL") as failure:
        await channel.unary_unary("/t.T/bug")(b"")
    assert failure.message == "internal error"
    assert "hunter2" not in repr(failure)
    assert any(record.exc_info for record in caplog.records)
    assert observed.calls == [("/t.T/bug", "INTERNAL")]


async def test_a_librarys_abort_is_left_as_it_is(channel: Any, observed: Observed) -> None:
    """AbortError is passed on, not swallowed: the code that the servicer chose arrives."""
    with pytest.raises(grpc.RpcError) as raised:
        await channel.unary_unary("/t.T/abort")(b"")
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    assert observed.calls == [("/t.T/abort", "ABORTED")]


@pytest.mark.parametrize("method", ["echo", "count"])
async def test_bytes_that_cannot_be_read_are_an_invalid_argument(channel: Any, method: str) -> None:
    """A deserialiser's failure is INVALID_ARGUMENT, where gRPC would say UNKNOWN."""
    with fails(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT"):
        if method == "echo":
            await channel.unary_unary("/t.T/echo")(b"\xff")
        else:
            [answer async for answer in channel.unary_stream("/t.T/count")(b"\xff")]


async def test_each_method_is_held_to_its_own_limit(channel: Any, observed: Observed) -> None:
    """The engine has one for all: over its own a message is refused as grpc words it, without a reason."""
    for method, limit in (("/t.T/echo", 1000), (BATCH, 4000)):
        call = channel.unary_unary(method)
        assert await call(bytes(limit)) == bytes(limit)
        with pytest.raises(grpc.RpcError) as refused:
            await call(bytes(limit + 1))
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (
            refused.value.details() == f"SERVER: Received message larger than max ({limit + 1} vs. {limit})"
        )
        assert not refused.value.trailing_metadata()
        assert observed.calls[-1] == (method, "RESOURCE_EXHAUSTED")


async def test_a_conversation_is_refused_at_its_message_over_the_limit(channel: Any) -> None:
    """In a stream each message has the limit."""
    call = channel.stream_stream("/t.T/chat")()
    for _ in range(3):
        await call.write(bytes(1000))
        assert await call.read() == bytes(1000)
    await call.write(bytes(1001))
    with pytest.raises(grpc.RpcError) as refused:
        await call.read()
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_hang_up_is_counted_as_cancelled(channel: Any, observed: Observed, methods: Service) -> None:
    """A caller that goes away is neither an answer nor an error."""
    call = channel.unary_unary("/t.T/hang")(b"")
    waiting = asyncio.ensure_future(call)
    await methods.began.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await eventually_async(lambda: observed.calls)
    assert observed.calls == [("/t.T/hang", "CANCELLED")]


async def test_streams_pass_and_end_with_a_status(channel: Any, observed: Observed) -> None:
    """A stream's answers arrive before its failure, which says nothing of its cause."""
    assert [answer async for answer in channel.unary_stream("/t.T/count")(b"")] == [b"1", b"2"]
    got = []
    with fails(grpc.StatusCode.INTERNAL, "INTERNAL") as failure:
        async for answer in channel.unary_stream("/t.T/count")(b"fail"):
            got.append(answer)  # noqa: PERF401 - what came before the failure counts
    assert got == [b"1", b"2"]
    assert "hunter2" not in repr(failure)
    assert observed.calls == [("/t.T/count", "OK"), ("/t.T/count", "INTERNAL")]


async def test_a_conversation_is_refused_at_its_malformed_message(channel: Any) -> None:
    """In a bidirectional stream too, unreadable bytes end the call with INVALID_ARGUMENT."""
    call = channel.stream_stream("/t.T/chat")()
    await call.write(b"a")
    assert await call.read() == b"a"
    await call.write(b"\xff")
    with fails(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT"):
        await call.read()


async def test_calls_that_say_nothing_take_no_room(channel: Any) -> None:
    """Calls without a request, however many, leave the room to those with one."""
    silent = [channel.stream_unary("/t.T/echo")() for _ in range(2 * MAX_CALLS)]
    for each in silent:
        await each.wait_for_connection()
    assert await channel.unary_unary("/t.T/echo")(b"hello") == b"hello"
    for each in silent:
        each.cancel()


@pytest.mark.parametrize("stream", ["chat", "tell"])
async def test_open_streams_leave_the_room_to_calls(channel: Any, observed: Observed, stream: str) -> None:
    """Streams beyond a quarter of the calls are turned away, calls go on, and an ended stream makes room."""
    opened = [channel.stream_stream(f"/t.T/{stream}")() for _ in range(MAX_CALLS // 4)]
    for each in opened:
        await each.write(b"hello")
        assert await each.read() == b"hello"
    with fails(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED"):
        await channel.stream_stream(f"/t.T/{stream}")().read()
    assert await channel.unary_unary("/t.T/echo")(b"hello") == b"hello"
    opened.pop().cancel()
    await eventually_async(lambda: len(observed.calls) == 3)
    again = channel.stream_stream(f"/t.T/{stream}")()
    await again.write(b"hello")
    assert await again.read() == b"hello"
    for each in (*opened, again):
        each.cancel()


@pytest.mark.parametrize(("full", "other"), [("chat", "tell"), ("tell", "chat")])
async def test_streams_of_one_method_leave_the_room_to_another(channel: Any, full: str, other: str) -> None:
    """Whoever opens every stream of one kind, such as WatchTokens, leaves those of health to balancers."""
    opened = [channel.stream_stream(f"/t.T/{full}")() for _ in range(MAX_CALLS // 4)]
    for each in opened:
        await each.write(b"hello")
        assert await each.read() == b"hello"
    with fails(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED"):
        await channel.stream_stream(f"/t.T/{full}")().read()
    last = channel.stream_stream(f"/t.T/{other}")()
    await last.write(b"hello")
    assert await last.read() == b"hello"
    for each in (*opened, last):
        each.cancel()


async def test_more_calls_than_there_is_room_for_are_turned_away(channel: Any, observed: Observed) -> None:
    """Beyond the limit a call is OVERLOADED, and the observer hears so; an ended call makes room."""
    hanging = [channel.unary_unary("/t.T/hang")(b"") for _ in range(MAX_CALLS + 1)]
    await eventually_async(lambda: ("/t.T/hang", "OVERLOADED") in observed.calls)
    for each in hanging:
        each.cancel()
    await eventually_async(lambda: observed.calls.count(("/t.T/hang", "CANCELLED")) == MAX_CALLS)
    assert await channel.unary_unary("/t.T/echo")(b"hello") == b"hello"


async def test_batches_leave_the_room_to_single_calls(channel: Any, observed: Observed) -> None:
    """As each is as much work as hundreds, those beyond a quarter of the calls are turned away."""
    hanging = [channel.unary_unary(BATCH)(b"hang") for _ in range(MAX_CALLS // 4 + 1)]
    await eventually_async(lambda: observed.calls == [(BATCH, "OVERLOADED")])
    calls = [channel.unary_unary("/t.T/hang")(b"") for _ in range(MAX_CALLS - 1)]
    assert await channel.unary_unary("/t.T/echo")(b"hello") == b"hello"
    for each in (*hanging, *calls):
        each.cancel()


async def test_methods_cost_nothing_while_others_are_called(channel: Any) -> None:
    """The server waits for calls in one task, not in a task per method which every call goes through."""
    await channel.unary_unary("/t.T/echo")(b"")
    running = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()]
    assert sum(name.startswith("AioServer._request") for name in running) == 1
