"""Clients that mean harm to the server itself: it closes on them, and answers everybody else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TypeAlias

import grpc
import pytest
from session_api.v1 import session_service_pb2 as pb
from session_api.v1.session_service_pb2_grpc import SessionServiceStub

from tests.support import CertificateAuthority, RedisServer, ServiceProcess
from tests.support.in_process import ServiceUnderTest
from tests.support.outcomes import outcome
from tests.support.raw_http2 import raw_http2
from tests.support.service_client import ServiceClient

# Each test runs on both engines.
pytestmark = pytest.mark.usefixtures("engine")

Serve: TypeAlias = Callable[..., Awaitable[ServiceUnderTest]]
VERIFY = "/session.v1.SessionService/VerifyToken"
RESETS = 20_000
IDLERS = 500
# Seconds that the server gives a handshake, and that a test gives the server to notice its end.
HANDSHAKE = 1
PATIENCE = 20.0


async def test_rapid_resets_are_survived(process: ServiceProcess, bystander: ServiceClient) -> None:
    """20,000 calls opened and reset at once: the checks of others go on meanwhile and afterwards."""
    token = (await bystander.open_session()).access_token
    done = 0
    while done < RESETS:
        async with raw_http2(process.address) as attacker:
            done += await attacker.open_and_reset(VERIFY, min(2_000, RESETS - done))
        await bystander.verify(token)


async def test_a_flood_of_pings_is_cut_off(process: ServiceProcess, bystander: ServiceClient) -> None:
    """Who pings without pause loses his connection."""
    async with raw_http2(process.address) as attacker:
        await attacker.ping(100_000)
        await asyncio.wait_for(attacker.closes(), PATIENCE)


async def test_connections_that_say_nothing_are_closed(
    process: ServiceProcess, bystander: ServiceClient
) -> None:
    """500 idle connections keep nobody out, and are all closed when their time for a handshake is over."""
    host, _, port = process.address.rpartition(":")
    async with AsyncExitStack() as stack:
        idlers = [await asyncio.open_connection(host, int(port)) for _ in range(IDLERS)]
        for _, writer in idlers:
            stack.callback(writer.close)
        await bystander.verify((await bystander.open_session()).access_token)
        ends = [_read_to_end(reader) for reader, _ in idlers]
        await asyncio.wait_for(asyncio.gather(*ends), PATIENCE)


async def test_a_slow_handshake_is_cut_off(
    one_redis: RedisServer, serve: Serve, certificate_authority: CertificateAuthority
) -> None:
    """Over TLS, too: who sends half a greeting keeps a connection for as long as a handshake may take."""
    own = certificate_authority.issue("localhost")
    tls = {"cert_file": own.certificate, "key_file": own.key}
    service = await serve(one_redis, server={"tls": tls, "handshake_timeout": HANDSHAKE})
    host, _, port = service.address.rpartition(":")
    slow = [await asyncio.open_connection(host, int(port)) for _ in range(50)]
    for _, writer in slow:
        writer.write(b"\x16\x03\x01\x02")
    roots = grpc.ssl_channel_credentials(certificate_authority.certificate.read_bytes())
    async with grpc.aio.secure_channel(service.address, roots) as channel:
        verify = SessionServiceStub(channel).VerifyToken
        assert await outcome(verify(pb.VerifyTokenRequest(token="x"))) == "TOKEN_INVALID"
    await asyncio.wait_for(asyncio.gather(*(_read_to_end(reader) for reader, _ in slow)), PATIENCE)
    for _, writer in slow:
        writer.close()


async def _read_to_end(reader: asyncio.StreamReader) -> None:
    try:
        while await reader.read(4096):
            pass
    except ConnectionError:
        return
