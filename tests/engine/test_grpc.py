"""gRPC by grpcio's own client: shapes, metadata, statuses, limits, deadlines, cancellation."""

from __future__ import annotations

import asyncio
import gzip
import time
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import grpc
import pytest

from tests.engine.carrier import CHAT, ECHO, FEED, MESSAGE_BYTES, METADATA_BYTES, MUTE, Carrier, package
from tests.engine.wire import DATA, frames, message
from tests.engine.wire import grpc as call_of
from tests.support.waiting import eventually_async

Carry = Callable[..., Carrier]


@asynccontextmanager
async def _channel(carrier: Carrier, **options: Any) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(carrier.address, **options) as channel:
        yield channel


async def _refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value


async def test_a_message_is_carried_there_and_back(carry: Carry) -> None:
    """A message is carried there and back."""
    carrier = carry()
    async with _channel(carrier) as channel:
        echo = channel.unary_unary(ECHO)
        for sent in (b"", b"a", bytes(range(256)), b"x" * MESSAGE_BYTES):
            assert await echo(sent) == sent
    assert {call.kind for call in carrier.calls} == {package.UNARY}
    assert {call.peer.split(":")[0] for call in carrier.calls} == {"ipv4"}
    assert not any(call.secure or call.web for call in carrier.calls)


async def test_metadata_is_carried_both_ways(carry: Carry) -> None:
    """Metadata is carried both ways."""
    carrier = carry()
    sent = (("x-text", "a b"), ("x-text", "c"), ("x-bytes-bin", b"\0\xff"))
    async with _channel(carrier) as channel:
        call = channel.unary_unary(ECHO)(b"metadata", metadata=sent)
        assert await call == b"metadata"
        assert ("x-initial", "1") in tuple(await call.initial_metadata())
        assert tuple(await call.trailing_metadata()) == (("x-trailing", "2"),)
    [taken] = carrier.calls
    assert taken.values("x-text") == ["a b", "c"]
    assert taken.values("x-bytes-bin") == ["AP8"]
    headers = taken.headers()
    assert (b"host", carrier.address.encode()) in headers
    assert taken.values("host") == [carrier.address]
    assert not [name for name, _ in headers if name.startswith(b":")]


async def test_a_status_is_carried_with_its_text_and_metadata(carry: Carry) -> None:
    """A status is carried with its text and metadata."""
    async with _channel(carry()) as channel:
        error = await _refused(channel.unary_unary(ECHO)(b"fail"))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert error.details() == "größer als 50 %\r\n"
    assert ("x-trailing", "2") in tuple(error.trailing_metadata())
    assert ("x-bytes-bin", b"\0\x01") in tuple(error.trailing_metadata())


@pytest.mark.parametrize("codec", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_compressed_messages_are_read(carry: Carry, codec: grpc.Compression) -> None:
    """Compressed messages are read."""
    carrier = carry()
    async with _channel(carrier, compression=codec) as channel:
        assert await channel.unary_unary(ECHO)(b"z" * 10_000) == b"z" * 10_000
        chat = channel.stream_stream(CHAT)()
        await chat.write(b"y" * 10_000)
        assert await chat.read() == b"y" * 10_000
        await chat.done_writing()
        assert await chat.code() is grpc.StatusCode.OK
    assert carrier.calls[0].values("grpc-encoding") != []


@pytest.mark.parametrize(
    ("flag", "encoding", "sent", "kind"),
    [
        (1, b"snappy", b"x", "unknown_encoding"),
        (1, b"identity", b"x", "malformed_request"),
        (1, b"gzip", b"x", "malformed_request"),
        (1, b"gzip", gzip.compress(bytes(MESSAGE_BYTES + 1)), "message_too_large"),
        (1, b"deflate", zlib.compress(bytes(MESSAGE_BYTES + 1)), "message_too_large"),
        (2, b"gzip", b"x", "malformed_request"),
    ],
)
async def test_what_cannot_be_inflated_is_a_fault(
    carry: Carry, flag: int, encoding: bytes, sent: bytes, kind: str
) -> None:
    """What cannot be inflated is a fault."""
    carrier = carry()
    async with frames(carrier) as client:
        body = bytes([flag]) + message(sent)[1:]
        answered = await client.answer(await client.request(call_of(ECHO, grpc_encoding=encoding), body))
    assert answered
    assert answered[0]["grpc-status"] == "3"
    [call] = carrier.calls
    assert call.fault
    assert call.fault[0] == kind
    assert call.message == b""


@pytest.mark.parametrize(
    ("fields", "body", "kind"),
    [
        ({"grpc_timeout": b"5"}, b"", "malformed_metadata"),
        ({"grpc_timeout": b"123456789S"}, b"", "malformed_metadata"),
        ({"x_large": b"x" * METADATA_BYTES}, b"", "metadata_too_large"),
        ({}, message(b"x" * (MESSAGE_BYTES + 1)), "message_too_large"),
        ({}, message(b"x")[:-1], "malformed_request"),
        ({}, message(b"x") + message(b"y"), "malformed_request"),
        ({}, b"", "malformed_request"),
    ],
)
async def test_faults_are_named(carry: Carry, fields: dict[str, bytes], body: bytes, kind: str) -> None:
    """Faults are named."""
    carrier = carry()
    async with frames(carrier) as client:
        stream = await client.request(call_of(ECHO, **fields), body)
        assert await client.answer(stream)
        assert await client.pinged()
    assert carrier.calls[-1].fault
    assert carrier.calls[-1].fault[0] == kind


async def test_a_method_that_is_not_there_and_a_missing_te_are_faults(carry: Carry) -> None:
    """A method that is not there and a missing te are faults."""
    carrier = carry()
    async with frames(carrier) as client:
        await client.answer(await client.request(call_of("/t.S/No"), message(b"")))
        without = [field for field in call_of(ECHO) if field[0] != b"te"]
        await client.answer(await client.request(without, message(b"")))
    kinds = [(call.method, call.fault and call.fault[0]) for call in carrier.calls]
    assert kinds == [(-1, "unknown_method"), (0, "malformed_metadata")]


async def test_a_deadline_ends_a_call_in_time(carry: Carry) -> None:
    """A deadline ends a call in time."""
    carrier = carry()
    async with _channel(carrier) as channel:
        assert await channel.unary_unary(ECHO)(b"", timeout=10) == b""
    async with frames(carrier) as client:
        began = time.monotonic()
        hung = await client.request(call_of(ECHO, grpc_timeout=b"200m"), message(b"hang"))
        answered = await client.answer(hung)
        assert answered
        assert answered[0]["grpc-status"] == "4"
        assert 0.19 <= time.monotonic() - began < 1
        mute = await client.request(call_of(MUTE, grpc_timeout=b"50m"), message(b""))
        answered = await client.answer(mute)
        assert answered
        assert answered[0]["grpc-status"] == "4"
    await eventually_async(lambda: carrier.gone() == [True, True])
    first, second, _ = carrier.calls
    assert 9 < first.deadline - first.arrived <= 10
    assert second.deadline - second.arrived == pytest.approx(0.2)
    assert abs(second.arrived - began) < 0.2
    assert carrier.count("timed_out") == 2
    assert carrier.count("calls") == 0


@pytest.mark.parametrize("path", [ECHO, MUTE, CHAT, FEED])
@pytest.mark.parametrize("hang_up", [False, True])
async def test_a_client_that_leaves_is_noticed(carry: Carry, path: str, hang_up: bool) -> None:
    """A client that leaves is noticed."""
    carrier = carry()
    async with frames(carrier) as client:
        if path == ECHO:
            stream = await client.request(call_of(path), message(b"hang"))
        else:
            stream = await client.begin_request(call_of(path))
        await eventually_async(lambda: carrier.calls)
        left = time.monotonic()
        if hang_up:
            client.connection.close()
        else:
            await client.reset(stream)
        await eventually_async(carrier.gone)
        assert time.monotonic() - left < 1
    assert carrier.gone() == [False]
    assert carrier.count("calls") == 0
    await eventually_async(lambda: carrier.count("connections") == 0)


async def test_streams_of_every_shape(carry: Carry) -> None:
    """Streams of every shape."""
    carrier = carry()
    async with _channel(carrier) as channel:
        chat = channel.stream_stream(CHAT)()
        for sent in (b"one", b"", b"x" * MESSAGE_BYTES):
            await chat.write(sent)
            assert await chat.read() == sent
        assert ("x-initial", "1") in tuple(await chat.initial_metadata())
        await chat.done_writing()
        assert await chat.read() is grpc.aio.EOF
        assert await chat.code() is grpc.StatusCode.OK
        assert [piece async for piece in channel.unary_stream(CHAT)(b"only")] == [b"only"]
        joined = await channel.stream_unary(CHAT)(iter([b"single"]))
        assert joined == b"single"
    assert {call.kind for call in carrier.calls} == {package.STREAM}


async def test_a_stream_that_ends_within_a_message_is_a_fault(carry: Carry) -> None:
    """A stream that ends within a message is a fault."""
    carrier = carry()
    async with frames(carrier) as client:
        stream = await client.request(call_of(CHAT), message(b"whole") + message(b"half")[:-1])
        answered = await client.answer(stream)
    assert answered
    assert answered[0]["grpc-status"] == "3"
    assert answered[1] == message(b"whole")


async def test_many_calls_at_once_on_one_connection(carry: Carry) -> None:
    """Many calls at once on one connection."""
    carrier = carry()
    async with _channel(carrier) as channel:
        echo = channel.unary_unary(ECHO)
        sent = [b"%d" % number for number in range(2_000)]
        assert await asyncio.gather(*[echo(each) for each in sent]) == sent
    assert carrier.count("accepted") == 2_000


async def test_calls_up_to_the_limit_of_streams_and_no_more(carry: Carry) -> None:
    """Calls up to the limit of streams and no more."""
    carrier = carry(streams=10)
    async with frames(carrier) as client:
        first = [await client.request(call_of(ECHO), message(b"hang")) for _ in range(10)]
        await eventually_async(lambda: len(carrier.calls) == 10)
        beyond = await client.request(call_of(ECHO), message(b"beyond"))
        assert await client.answer(beyond) is None
        carrier.engine.answer([(carrier.calls[0].id, b"")])
        assert await client.answer(first[0])
        assert await client.answer(await client.request(call_of(ECHO), message(b"again")))
    assert b"beyond" not in carrier.messages()


async def test_calls_beyond_the_limit_are_refused(carry: Carry) -> None:
    """Calls beyond the limit are refused."""
    carrier = carry(open_calls=3)
    async with frames(carrier) as client:
        for path in (ECHO, MUTE, ECHO):
            await client.request(call_of(path), message(b"hang"))
        await eventually_async(lambda: len(carrier.calls) == 3)
        for path in (ECHO, CHAT):
            answered = await client.answer(await client.request(call_of(path), message(b"")))
            assert answered
            assert answered[0]["grpc-status"] == "8"
        answered = await client.answer(await client.request(call_of("/x")[:-2]))
        assert answered
        assert answered[0][":status"] == "503"
        assert answered[0]["retry-after"] == "1"
        assert carrier.count("refused_calls") == 3
        assert carrier.count("calls") == 3
        carrier.engine.answer([(carrier.calls[0].id, b"")])
        assert await client.answer(1)
        assert await client.answer(await client.request(call_of(ECHO), message(b"again")))


async def test_calls_that_were_cancelled_before_they_are_taken_are_bounded_too(carry: Carry) -> None:
    """Calls that were cancelled before they are taken are bounded too."""
    carrier = carry(open_calls=20)
    carrier.taking = False
    async with frames(carrier) as client:
        for number in range(1, 51):
            stream = await client.request(call_of(ECHO), message(b""))
            await eventually_async(partial(_looked_at, carrier, number))
            await client.reset(stream)
            await eventually_async(lambda: carrier.count("calls") == 0)
    calls, _ = carrier.engine.take()
    assert len(calls) == 20
    assert carrier.count("refused_calls") == 30


def _looked_at(carrier: Carrier, calls: int) -> bool:
    return carrier.count("accepted") + carrier.count("refused_calls") == calls


async def test_a_request_that_does_not_arrive_is_late(carry: Carry) -> None:
    """A request that does not arrive is late."""
    carrier = carry(request_seconds=0.2)
    async with frames(carrier) as client:
        stream = await client.begin_request(call_of(ECHO))
        await client.send(DATA, 0, stream, message(b"half")[:-1])
        answered = await client.answer(stream)
    assert answered
    assert answered[0]["grpc-status"] == "3"
    [call] = carrier.calls
    assert call.fault
    assert call.fault[0] == "late"
    assert carrier.count("timed_out") == 1


async def test_answers_to_calls_that_are_gone_are_passed_over(carry: Carry) -> None:
    """Answers to calls that are gone are passed over."""
    carrier = carry()
    engine = carrier.engine
    for number in (0, 1, 2**63, 2**64 - 1):
        engine.answer([(number, b"")])
        engine.finish(number, 0, "")
        engine.respond(number, 200, [], b"")
        engine.start(number, [])
        engine.write(number, b"")
        engine.close(number)
        engine.abort(number)
        engine.more(number)
    async with _channel(carrier) as channel:
        assert await channel.unary_unary(ECHO)(b"a") == b"a"
        engine.answer([(carrier.calls[0].id, b"twice")])
        engine.finish(carrier.calls[0].id, 5, "twice")
        assert await channel.unary_unary(ECHO)(b"b") == b"b"


@pytest.mark.parametrize("bad", [b"a\r\nb", b"a\nb", b"a\0b"])
async def test_no_header_value_can_end_its_line(carry: Carry, bad: bytes) -> None:
    """No header value can end its line."""
    engine = carry().engine
    for wrong in ([(b"x", bad)], [(bad, b"x")]):
        with pytest.raises(ValueError, match="not a header field"):
            engine.respond(1, 200, wrong, b"")
        with pytest.raises(ValueError, match="not a header field"):
            engine.start(1, wrong)
        with pytest.raises(ValueError, match="not a header field"):
            engine.finish(1, 0, "", wrong)
        with pytest.raises(ValueError, match="not a header field"):
            engine.finish(1, 0, "", [], wrong)
