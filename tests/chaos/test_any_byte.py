"""Every byte in every place of a request: an answer or a reset in time, and the next call is served."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import pytest
from session_api.v1 import session_service_pb2 as pb

from tests.support import ServiceProcess
from tests.support.grpc_frames import framed
from tests.support.raw_http2 import raw_http2
from tests.support.service_client import ServiceClient

VERIFY: Final = "/session.v1.SessionService/VerifyToken"
REQUEST: Final = framed(pb.VerifyTokenRequest(token="x").SerializeToString())
SECONDS: Final = 20.0
AT_ONCE: Final = 16

# Where a byte goes in the fields of a request over HTTP/2: the value that it is put into.
FIELDS: Final = {
    ":method": "PO{}ST",
    ":scheme": "ht{}tp",
    ":authority": "local{}host",
    ":path": "/{}",
    "te": "trail{}ers",
    "content-type": "application/grpc{}",
    "grpc-timeout": "1{}S",
    "grpc-encoding": "iden{}tity",
    "user-agent": "some{}body",
    "authorization": "Bearer a{}b",
    "cookie": "a={}",
    "x-forwarded-for": "10.0.0.{}",
    "x-request-id": "{}",
    "some-bin": "YWJj{}",
    "x-some{}name": "value",
    "{}": "value",
    ":{}": "value",
}
# Where it goes in a request over HTTP/1.1.
REQUESTS: Final = (
    "GE{}T /authz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    "GET /authz{} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    "GET /authz?a={} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    "GET /authz HTTP/1.{}\r\nhost: a\r\nconnection: close\r\n\r\n",
    "GET /authz HTTP/1.1\r\nhost: a{}b\r\nconnection: close\r\n\r\n",
    "GET /authz HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-some{}name: b\r\n\r\n",
    "GET /authz HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-name: a{}b\r\n\r\n",
    "GET /authz HTTP/1.1\r\nhost: a\r\nconnection: close\r\nauthorization: Bearer {}\r\n\r\n",
    "GET /authz HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncookie: session={}\r\n\r\n",
    "POST /v1/token:verify HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2{}\r\n\r\n{{}}",
)


def _character(byte: int) -> str:
    return bytes([byte]).decode(errors="surrogateescape")


@pytest.mark.parametrize("name", FIELDS)
async def test_any_byte_in_a_field(process: ServiceProcess, bystander: ServiceClient, name: str) -> None:
    """256 requests, each on a connection of its own."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def ends(byte: int) -> None:
        field = {name.format(_character(byte)): FIELDS[name].format(_character(byte))}
        async with turns, asyncio.timeout(SECONDS), raw_http2(process.address) as connection:
            await connection.call(VERIFY, REQUEST, headers=field)

    before = len(process.log())
    await asyncio.gather(*(ends(byte) for byte in range(256)))
    await bystander.verify((await bystander.open_session()).access_token)
    assert len(process.log()) - before < 2_000


@pytest.mark.parametrize("request_text", REQUESTS)
async def test_any_byte_over_http1(
    process: ServiceProcess, bystander: ServiceClient, request_text: str, engine: str
) -> None:
    """Likewise; grpc.aio ends connections that do not begin as HTTP/2 does."""
    turns = asyncio.Semaphore(AT_ONCE)
    host, _, port = process.address.rpartition(":")

    async def ends(byte: int) -> None:
        async with turns, asyncio.timeout(SECONDS):
            reader, writer = await asyncio.open_connection(host, int(port))
            text = request_text.format(_character(byte))
            writer.write(text.encode(errors="surrogateescape"))
            writer.write_eof()
            with suppress(ConnectionError):
                answer = await reader.read()
                assert engine == "grpc-aio" or not answer or answer.startswith(b"HTTP/1.")
            writer.close()

    await asyncio.gather(*(ends(byte) for byte in range(256)))
    await bystander.verify((await bystander.open_session()).access_token)
