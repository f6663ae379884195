"""Bytes that no gRPC library would send: a status that says so, or patience, and others are served on.

Where the engines answer differently the table says both. grpc.aio reads leniently what Envoy's engine
refuses: bytes after the one message of a call, a flag that is no flag, nine digits of time-out. A request
that ends before its message leaves grpc.aio waiting until the connection comes of age, and it calls
INTERNAL whatever its own HTTP/2 layer finds wrong, where the service says INVALID_ARGUMENT.
"""

from __future__ import annotations

import asyncio
import gzip
import struct
from dataclasses import dataclass, field
from typing import Final

import pytest
from session_api.v1 import session_service_pb2 as pb

from tests.support import ServiceProcess
from tests.support.grpc_frames import framed
from tests.support.raw_http2 import raw_http2
from tests.support.service_client import ServiceClient

VERIFY: Final = "/session.v1.SessionService/VerifyToken"
LOGOUT: Final = "/session.v1.SessionService/Logout"
GOOD: Final = framed(pb.VerifyTokenRequest(token="x").SerializeToString())
PATIENCE: Final = 20.0

# The request was read, and its token is none.
READ: Final = 16
INVALID: Final = 3
TOO_LARGE: Final = 8
UNIMPLEMENTED: Final = 12
INTERNAL: Final = 13
# Nothing is answered while the connection lasts.
WAITS: Final = "waits"
# Now and then grpc.aio answers, now and then it does not: only that others are served is certain.
LOOSE: Final = "answers or waits"
# grpc.aio drops such a header, and then its refusal and the answer race.
EITHER: Final = "too large or read"
# The connection is ended by HTTP/2's own rules.
RESET: Final = "reset"


def marked(packed: bytes, flag: int = 1) -> bytes:
    """A frame that is marked as compressed."""
    return struct.pack(">BI", flag, len(packed)) + packed


def lying(length: int, message: bytes) -> bytes:
    """A frame that says another length than it has."""
    return struct.pack(">BI", 0, length) + message


@dataclass(frozen=True)
class Attack:
    """What is sent, and what each engine answers to it."""

    grpc_aio: int | str
    native: int | str
    pieces: tuple[bytes, ...] = (GOOD,)
    headers: dict[str, str | None] = field(default_factory=dict)
    path: str = VERIFY

    def expected(self, engine: str) -> int | str:
        """The answer of an engine."""
        return self.native if engine == "native" else self.grpc_aio


ATTACKS: Final = {
    "none; it is a good call": Attack(READ, READ),
    "split at every byte": Attack(READ, READ, tuple(bytes([byte]) for byte in GOOD)),
    "a length beyond the end": Attack(WAITS, INVALID, (lying(1000, b"x"),)),
    "a length before the end": Attack(READ, INVALID, (lying(0, b"xyz"),)),
    "a length of four gigabytes": Attack(TOO_LARGE, TOO_LARGE, (lying(0xFFFFFFFF, b"x"),)),
    "cut off in its length": Attack(WAITS, INVALID, (b"\0\0",)),
    "no message": Attack(WAITS, INVALID, ()),
    "no bytes": Attack(WAITS, INVALID, (b"",)),
    "two messages": Attack(READ, INVALID, (GOOD, GOOD)),
    "bytes after the message": Attack(READ, INVALID, (GOOD, b"\0\0")),
    "over 64 KiB": Attack(TOO_LARGE, TOO_LARGE, (framed(bytes(70_000)),)),
    "compressed in no way": Attack(INTERNAL, INVALID, (marked(gzip.compress(b"")),)),
    "compressed in a way of its own": Attack(
        INTERNAL, UNIMPLEMENTED, (marked(b"x"),), {"grpc-encoding": "br"}
    ),
    "no gzip": Attack(INTERNAL, INVALID, (marked(b"nonsense"),), {"grpc-encoding": "gzip"}),
    "a bomb": Attack(
        TOO_LARGE, TOO_LARGE, (marked(gzip.compress(bytes(50_000_000))),), {"grpc-encoding": "gzip"}
    ),
    "a flag that is none": Attack(LOOSE, INVALID, (marked(GOOD[5:], flag=2),)),
    "a header of 20 KiB": Attack(EITHER, TOO_LARGE, headers={"x-large": "x" * 20_480}),
    "a header of 200 KiB": Attack(EITHER, RESET, headers={"x-large": "x" * 204_800}),
    "a time-out of words": Attack(INTERNAL, INVALID, headers={"grpc-timeout": "soon"}),
    "a time-out of nine digits": Attack(READ, INVALID, headers={"grpc-timeout": "100000000S"}),
    "metadata that is no base64": Attack(
        INTERNAL, INVALID, (framed(b""),), {"x-bin": "!", "authorization": "Bearer x"}, LOGOUT
    ),
    "no te: trailers": Attack(RESET, INVALID, headers={"te": None}),
    "no such method": Attack(UNIMPLEMENTED, UNIMPLEMENTED, path="/session.v1.SessionService/None"),
    "no path of gRPC": Attack(UNIMPLEMENTED, UNIMPLEMENTED, path="/../../etc/passwd"),
}


@pytest.mark.parametrize("name", ATTACKS)
async def test_hostile_frames_are_answered_by_name(
    process: ServiceProcess, bystander: ServiceClient, engine: str, name: str
) -> None:
    """Each has its status, and no text of it tells of anything but the request."""
    attack = ATTACKS[name]
    async with raw_http2(process.address) as attacker:
        answer = await attacker.open(attack.path, *attack.pieces, headers=attack.headers)
        if attack.expected(engine) in {WAITS, LOOSE}:
            await bystander.verify((await bystander.open_session()).access_token)
            assert attack.expected(engine) == LOOSE or not answer.over.is_set()
            return
        await asyncio.wait_for(answer.over.wait(), PATIENCE)
        got: int | str | None = answer.code
        if got is None and (answer.reset or attacker.closed):
            got = RESET
        if attack.expected(engine) == EITHER and got in {TOO_LARGE, READ}:
            got = EITHER
        assert got == attack.expected(engine), answer
        assert "Traceback" not in answer.text
        assert "session_service" not in answer.text
    if name == "compressed in a way of its own" and engine == "native":
        assert answer.headers["grpc-accept-encoding"] == "identity,deflate,gzip"


@pytest.mark.parametrize("name", [name for name in ATTACKS if ATTACKS[name].native == INVALID])
async def test_a_refusal_leaves_the_connection_to_other_calls(
    process: ServiceProcess, engine: str, name: str
) -> None:
    """A call beside it on the same connection, and one after it, are answered."""
    attack = ATTACKS[name]
    async with raw_http2(process.address) as attacker:
        before = await attacker.open(VERIFY, end=False)
        await attacker.open(attack.path, *attack.pieces, headers=attack.headers)
        await attacker.send(before, GOOD)
        after = await asyncio.wait_for(attacker.call(VERIFY, GOOD), PATIENCE)
        assert after.code == READ


async def test_json_on_a_path_of_grpc_is_no_call(
    process: ServiceProcess, bystander: ServiceClient, engine: str
) -> None:
    """Envoy answers it as HTTP; grpc.aio takes any type for its own, and finds no message."""
    async with raw_http2(process.address) as attacker:
        answer = await attacker.open(VERIFY, b"{}", headers={"content-type": "application/json"})
        if engine == "native":
            await asyncio.wait_for(answer.over.wait(), PATIENCE)
            assert (answer.code, 400 <= answer.http_status < 500) == (None, True)
        else:
            await bystander.verify((await bystander.open_session()).access_token)
            assert not answer.over.is_set()


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.0\r\n\r\n",
        b"\x00" * 1000,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100,
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 5000 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_what_is_no_http2_is_closed_on(
    process: ServiceProcess, bystander: ServiceClient, garbage: bytes
) -> None:
    """The connection ends within the time for a handshake, and nothing of the service is told."""
    host, _, port = process.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(garbage)
    got = b""
    try:
        got = await asyncio.wait_for(_everything(reader), PATIENCE)
    finally:
        writer.close()
    assert b"session_service" not in got
    assert b"Traceback" not in got


async def _everything(reader: asyncio.StreamReader) -> bytes:
    got = b""
    try:
        while piece := await reader.read(65_536):
            got += piece
    except ConnectionError:
        pass
    return got
