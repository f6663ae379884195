"""What grpc-core's clients call the server, where ``http`` would not have it as an authority."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import hpack
import pytest

from tests.engine.carrier import CHAT, ECHO, LOOPBACK, Carrier
from tests.engine.wire import END_HEADERS, END_STREAM, HEADERS, frames

Carry = Callable[..., Carrier]

_BEFORE = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/x")]


def _hosts(carrier: Carrier) -> list[list[str]]:
    """What each call was told the server is called, without repetition."""
    hosts = [call.values("host") for call in carrier.calls]
    return [host for place, host in enumerate(hosts) if host not in hosts[:place]]


async def _calls_of_all_kinds(target: str, **options: Any) -> None:
    """Many calls on one connection, one after another and at once."""
    async with grpc.aio.insecure_channel(target, options=tuple(options.items())) as channel:
        echo: Any = channel.unary_unary(ECHO)
        for number in range(20):
            assert await echo(b"%d" % number, metadata=(("x-number", str(number)),)) == b"%d" % number
        sent = [b"%d" % number for number in range(200)]
        assert await asyncio.gather(*[echo(each) for each in sent]) == sent
        chat: Any = channel.stream_stream(CHAT)()
        for each in (b"one", b"two"):
            await chat.write(each)
            assert await chat.read() == each
        await chat.done_writing()
        assert await chat.code() is grpc.StatusCode.OK


async def test_the_path_of_a_unix_socket(carry: Carry, tmp_path: Path) -> None:
    """It is percent-encoded, as it is no name."""
    carrier = carry()
    path = str(tmp_path / "a socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        carrier.engine.listen(listener.detach())
    await _calls_of_all_kinds(f"unix:{path}")
    [[host]] = _hosts(carrier)
    assert host.endswith("-2Fa-20socket")


async def test_a_list_of_addresses(carry: Carry) -> None:
    """All of the target, whichever of them is called."""
    carrier = carry()
    second = carrier.listen()
    await _calls_of_all_kinds(f"ipv4:{carrier.address},{LOOPBACK}:{second}")
    assert _hosts(carrier) == [[f"127.0.0.1-{carrier.port},127.0.0.1-{second}"]]


@pytest.mark.parametrize(
    ("named", "host"),
    [
        ("localhost:50051", "localhost:50051"),
        ("[::1]:50051", "[::1]:50051"),
        ("user%20name@host", "user%20name@host"),
        ("[::1]:1,[::2]:2", "---1--1,---2--2"),
        ("a:b:c", "a-b-c"),
        ("a/b?c#d", "a-b-c-d"),
        ("%", "-"),
        ("x" * 200 + "%2F" * 100, "x" * 200 + "-2F" * 100),
    ],
)
async def test_any_name(carry: Carry, named: str, host: str) -> None:
    """What is an authority stays as it is."""
    carrier = carry()
    await _calls_of_all_kinds(carrier.address, **{"grpc.default_authority": named})
    assert _hosts(carrier) == [[host]]


async def test_the_first_call_may_have_metadata_of_several_frames(carry: Carry) -> None:
    """The authority is in the first of them."""
    carrier = carry(metadata_bytes=65_536)
    metadata = tuple((f"x-{number}", "m" * 1_000) for number in range(40))
    options = (("grpc.default_authority", "a%2Fb"), ("grpc.max_metadata_size", 65_536))
    async with grpc.aio.insecure_channel(carrier.address, options=options) as channel:
        for _ in range(3):
            echo: Any = channel.unary_unary(ECHO)
            assert await echo(b"a", metadata=metadata) == b"a"
    assert _hosts(carrier) == [["a-2Fb"]]


@pytest.mark.parametrize("coded", [True, False])
async def test_entries_of_the_table_are_those_of_the_client(carry: Carry, *, coded: bool) -> None:
    """Requests refer to entries by how many came after, those whose authority was changed among them."""
    carrier = carry()
    encoder = hpack.Encoder()
    names = [b"a%2Fb", b"1.2.3.4:5,1.2.3.4:6", b"a.b:1", b"a%2Fb", b"a.b:1", b"1.2.3.4:5,1.2.3.4:6"]
    async with frames(carrier) as client:
        for place, name in enumerate(names * 2):
            fields: list[Any] = [
                (":method", "GET"),
                (":scheme", "http"),
                (":path", "/x"),
                (":authority", name),
                ("x-a", "b"),
            ]
            block = encoder.encode(fields, huffman=coded)
            stream = 2 * place + 1
            await client.send(HEADERS, END_HEADERS | END_STREAM, stream, block)
            assert await client.answer(stream)
    colon = "B" if coded else "-"
    mended = f"1.2.3.4{colon}5,1.2.3.4{colon}6"
    assert _hosts(carrier) == [["a-2Fb"], [mended], ["a.b:1"]]
    assert [call.values("host") for call in carrier.calls][5::6] == [[mended]] * 2
