"""Both engines under grpcio's own client: one bare service, the same answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.support import CertificateAuthority, eventually_async
from tests.support.probe import ServerTls, probe_on

Channel = Any

# What both know of a caller; grpc.aio shows the whole certificate besides.
COMMON: Final = ("transport_security_type", "x509_common_name")


@pytest.fixture
async def channel(engine: str) -> AsyncIterator[Channel]:
    """A connection to the probe on either engine, in clear text."""
    async with probe_on(engine) as address, grpc.aio.insecure_channel(address) as channel:
        yield channel


def unary(channel: Channel, method: str, request: bytes = b"", **options: Any) -> Any:
    """A call of one message for one."""
    return channel.unary_unary(f"/p.P/{method}")(request, timeout=30, **options)


def stream(channel: Channel, method: str, request: bytes = b"", **options: Any) -> Any:
    """A call of many messages for one."""
    return channel.unary_stream(f"/p.P/{method}")(request, **options)


async def ends(channel: Channel) -> list[int]:
    """How many calls of endless methods began, ended, and had their end told."""
    found: list[int] = json.loads(await unary(channel, "ends"))
    return found


async def test_messages_of_every_size_pass(channel: Channel) -> None:
    """Empty ones, and up to the limit."""
    for size in (0, 1, 5, 16_384, 65_000):
        assert await unary(channel, "echo", b"x" * size) == b"x" * size


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_compressed_messages_are_read(channel: Channel, compression: grpc.Compression) -> None:
    """As grpcio's client compresses them."""
    assert await unary(channel, "echo", b"x" * 30_000, compression=compression) == b"x" * 30_000


@pytest.mark.parametrize("method", ["count", "tell"])
async def test_a_stream_is_answered(channel: Channel, method: str) -> None:
    """A thousand messages by either way, in order; none is a good answer too."""
    assert [int(each) async for each in stream(channel, method, b"1000")] == list(range(1000))
    assert [each async for each in stream(channel, method, b"0")] == []


async def test_a_conversation_goes_to_and_fro(channel: Channel) -> None:
    """Each message is answered before the next is sent; the end of one side ends the other."""
    call = channel.stream_stream("/p.P/chat")()
    for number in range(50):
        await call.write(b"%d" % number)
        assert await call.read() == b"%d" % number
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_a_conversation_may_end_badly(channel: Channel) -> None:
    """What was answered arrives, and then the status."""
    call = channel.stream_stream("/p.P/chat")()
    await call.write(b"a")
    assert await call.read() == b"a"
    await call.write(b"fail")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call.read()
    assert (raised.value.code(), raised.value.details()) == (grpc.StatusCode.OUT_OF_RANGE, "as asked")


async def test_metadata_goes_there_and_back(channel: Channel) -> None:
    """Text and bytes, repeated keys in order, ahead of the answer and at its end."""
    early = (("x-early", "1"), ("x-early-bin", bytes(range(256))), ("x-early", "2"))
    late = (("x-late-bin", b""), ("x-late", "a, b=c; d"), ("x-late-bin", b"\xff"))
    call = unary(channel, "mirror", b"x", metadata=early + late)
    assert await call == b"x"
    assert _ours(await call.initial_metadata()) == _ordered(early)
    assert _ours(await call.trailing_metadata()) == _ordered(late)


@pytest.mark.parametrize("text", ["plain", "100 % é€\U0001f600", "a\tb\r\nc", "", "%41"])
async def test_an_abort_arrives_whole(channel: Channel, text: str) -> None:
    """Code, any text, and metadata."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await unary(channel, "abort", text.encode())
    assert (raised.value.code(), raised.value.details()) == (grpc.StatusCode.DATA_LOSS, text)
    expected = _ordered((("x-late", "1"), ("x-late-bin", b"\0\xff")))
    assert _ours(raised.value.trailing_metadata()) == expected


async def test_a_status_that_was_set_outdoes_an_answer(channel: Channel) -> None:
    """An answer beside another status than OK is dropped."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await unary(channel, "both", b"x")
    assert (raised.value.code(), raised.value.details()) == (grpc.StatusCode.ABORTED, "again")


async def test_an_unknown_method_is_unimplemented(channel: Channel) -> None:
    """With the same text."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await unary(channel, "none")
    assert (raised.value.code(), raised.value.details()) == (
        grpc.StatusCode.UNIMPLEMENTED,
        "Method not found!",
    )


async def test_the_time_that_remains_is_known(channel: Channel) -> None:
    """Close to what the caller gave; and nothing where he gave none."""
    call: Any = channel.unary_unary("/p.P/remaining")
    assert 55 < json.loads(await call(b"", timeout=60)) < 61
    assert json.loads(await call(b"")) is None


@pytest.mark.parametrize("method", ["hang", "drip", "flood"])
async def test_a_cancelled_call_is_noticed(channel: Channel, method: str) -> None:
    """The handler ends within a second or two, whether it waits or writes, and others are answered."""
    call = unary(channel, method) if method == "hang" else stream(channel, method)
    if method != "hang":
        await call.read()
    await eventually_async(lambda: _began(channel))
    call.cancel()
    await eventually_async(lambda: _ended(channel), timeout=2.5)


async def test_a_cancelled_conversation_is_noticed(channel: Channel) -> None:
    """The handler that waits for the next message ends."""
    call = channel.stream_stream("/p.P/chat")()
    await call.write(b"a")
    assert await call.read() == b"a"
    call.cancel()
    await eventually_async(lambda: _ended(channel), timeout=2.5)


async def test_a_lost_connection_is_noticed(engine: str) -> None:
    """A client that is gone ends its calls; whoever asked to be told of the end is told."""
    async with probe_on(engine) as address, grpc.aio.insecure_channel(address) as other:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            call = unary(channel, "hang")
            await eventually_async(lambda: _began(other))
        with pytest.raises(asyncio.CancelledError):
            await call
        await eventually_async(lambda: _ended(other), timeout=2.5)
        await eventually_async(lambda: _told(other), timeout=2.5)


async def test_a_deadline_ends_the_handler(channel: Channel) -> None:
    """At the time that the caller gave, or soon after."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await channel.unary_unary("/p.P/hang")(b"", timeout=0.2)
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await eventually_async(lambda: _ended(channel), timeout=2.5)


def _tls(authority: CertificateAuthority, *, mutual: bool) -> ServerTls:
    own = authority.issue("localhost")
    return ServerTls(own.certificate, own.key, authority.certificate if mutual else None, mutual)


@pytest.mark.parametrize("mutual", [True, False])
async def test_the_caller_is_known_by_his_certificate(
    engine: str, certificate_authority: CertificateAuthority, mutual: bool
) -> None:
    """With mTLS the handler sees the certificate's common name on either engine; without, nobody."""
    client = certificate_authority.issue("billing")
    own = (client.key.read_bytes(), client.certificate.read_bytes()) if mutual else (None, None)
    credentials = grpc.ssl_channel_credentials(certificate_authority.certificate.read_bytes(), *own)
    async with (
        probe_on(engine, tls=_tls(certificate_authority, mutual=mutual)) as address,
        grpc.aio.secure_channel(address, credentials) as channel,
    ):
        facts = json.loads(await unary(channel, "caller"))
    name = {"x509_common_name": ["billing"]} if mutual else {}
    known = {key: value for key, value in facts["known"].items() if key in COMMON}
    assert known == {"transport_security_type": ["ssl"], **name}
    alternatives = ["billing", "localhost", "127.0.0.1"]
    assert (facts["identities"] or None) == (alternatives if mutual else None)


async def test_a_name_cannot_be_put_into_another_part_of_a_certificate(
    engine: str, certificate_authority: CertificateAuthority
) -> None:
    """The common name is the same on both engines, however the subject is written."""
    parts = [
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "a\\,CN=root"),
        (NameOID.COMMON_NAME, "Doe, John + é\\"),
        (NameOID.ORGANIZATION_NAME, "b+CN=root"),
        (NameOID.COMMON_NAME, "second"),
    ]
    subject = x509.Name([x509.NameAttribute(kind, value) for kind, value in parts])
    client = certificate_authority.issue("odd", subject)
    credentials = grpc.ssl_channel_credentials(
        certificate_authority.certificate.read_bytes(),
        client.key.read_bytes(),
        client.certificate.read_bytes(),
    )
    async with (
        probe_on(engine, tls=_tls(certificate_authority, mutual=True)) as address,
        grpc.aio.secure_channel(address, credentials) as channel,
    ):
        facts = json.loads(await unary(channel, "caller"))
    assert facts["known"]["x509_common_name"] == ["Doe, John + é\\"]


async def test_the_peer_is_spelled_alike(channel: Channel) -> None:
    """On TCP its address and port; nothing is known of its identity."""
    facts = json.loads(await unary(channel, "caller"))
    assert facts["peer"].rpartition(":")[0] == "ipv4:127.0.0.1"
    assert facts["identities"] is None


async def test_a_peer_on_a_unix_socket_has_no_address(engine: str) -> None:
    """It is told as gRPC tells it."""
    async with (
        probe_on(engine, unix_socket=True) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        facts = json.loads(await unary(channel, "caller"))
    assert facts["peer"] == "unix:"


async def _began(channel: Channel) -> bool:
    return (await ends(channel))[0] == 1


async def _ended(channel: Channel) -> bool:
    return (await ends(channel))[1] == 1


async def _told(channel: Channel) -> bool:
    return (await ends(channel))[2] == 1


def _ours(metadata: Any) -> list[tuple[str, Any]]:
    return _ordered((key, value) for key, value in metadata if key.startswith("x-"))


def _ordered(pairs: Any) -> list[tuple[str, Any]]:
    """By key: HTTP keeps the order of the values of one name only."""
    return sorted(((key, value) for key, value in pairs), key=lambda pair: pair[0])
