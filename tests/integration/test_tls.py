"""TLS and mTLS of the running service: who may connect, and that nobody else does."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import astuple
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support import RedisServer
from tests.support.certificates import CertificateAuthority, IssuedCertificate
from tests.support.in_process import in_process

# Each test runs on both engines.
pytestmark = pytest.mark.usefixtures("engine")


def credentials(
    trusted: CertificateAuthority, client: IssuedCertificate | None = None
) -> grpc.ChannelCredentials:
    """What a client connects with: whom it trusts, and its own certificate."""
    return grpc.ssl_channel_credentials(
        trusted.certificate.read_bytes(),
        client.key.read_bytes() if client else None,
        client.certificate.read_bytes() if client else None,
    )


async def answers(address: str, credentials: grpc.ChannelCredentials | None) -> bool:
    """Whether a call over a connection of this kind is answered."""
    make: Any = grpc.aio.insecure_channel if credentials is None else grpc.aio.secure_channel
    async with make(address, *([credentials] if credentials else [])) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        try:
            await health.Check(health_pb2.HealthCheckRequest(), timeout=5)
        except grpc.RpcError as error:
            return error.code() is not grpc.StatusCode.UNAVAILABLE
        return True


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    """An authority that signs the server's certificate and its clients'."""
    return CertificateAuthority(tmp_path)


@pytest.fixture
def stranger(tmp_path: Path) -> CertificateAuthority:
    """Another authority, trusted by nobody."""
    (tmp_path / "stranger").mkdir()
    return CertificateAuthority(tmp_path / "stranger", "Stranger")


def _server(authority: CertificateAuthority, **more: Any) -> dict[str, Any]:
    issued = authority.issue("server")
    return {"tls": {"cert_file": issued.certificate, "key_file": issued.key, **more}}


async def test_a_client_that_trusts_the_server_is_answered(
    redis_server: RedisServer, tmp_path: Path, authority: CertificateAuthority, stranger: CertificateAuthority
) -> None:
    """TLS is verified by the client, and nothing is answered in the clear (ASVS 12.3.1)."""
    redis = {"host": "127.0.0.1", "port": redis_server.port}
    async with in_process(redis, tmp_path, server=_server(authority)) as service:
        assert await answers(service.address, credentials(authority))
        assert not await answers(service.address, credentials(stranger))
        assert not await answers(service.address, None)


async def test_with_mutual_tls_a_client_needs_a_certificate_of_the_authority(
    redis_server: RedisServer, tmp_path: Path, authority: CertificateAuthority, stranger: CertificateAuthority
) -> None:
    """Without a certificate, or with a stranger's, there is no call (ASVS 12.3.5)."""
    redis = {"host": "127.0.0.1", "port": redis_server.port}
    section = _server(authority, client_ca_file=authority.certificate, require_client_certificate=True)
    async with in_process(redis, tmp_path, server=section) as service:
        assert await answers(service.address, credentials(authority, authority.issue("billing")))
        assert not await answers(service.address, credentials(authority))
        assert not await answers(service.address, credentials(authority, stranger.issue("mallory")))


async def _greets(port: int, version: ssl.TLSVersion) -> bool:
    """Whether a client that speaks just this version of TLS, however weak, gets through the handshake."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    except (ssl.SSLError, ConnectionError):
        return False
    writer.close()
    return True


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_old_versions_of_tls_are_refused(
    redis_server: RedisServer, tmp_path: Path, authority: CertificateAuthority
) -> None:
    """TLS 1.2 and 1.3 are spoken, 1.1 is not, though this client would (ASVS 12.1.1)."""
    lax = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    lax.load_cert_chain(*astuple(authority.issue("lax")))
    lax.set_ciphers("DEFAULT:@SECLEVEL=0")
    lax.minimum_version = ssl.TLSVersion.TLSv1_1
    other = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=lax)
    redis = {"host": "127.0.0.1", "port": redis_server.port}
    async with other, in_process(redis, tmp_path, server=_server(authority)) as service:
        port = int(service.address.rpartition(":")[2])
        assert await _greets(other.sockets[0].getsockname()[1], ssl.TLSVersion.TLSv1_1)
        assert not await _greets(port, ssl.TLSVersion.TLSv1_1)
        assert await _greets(port, ssl.TLSVersion.TLSv1_2)
        assert await _greets(port, ssl.TLSVersion.TLSv1_3)
