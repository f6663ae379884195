"""RedisConnections over TLS, which only the system's redis-server has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from session_service.domain.errors import StoreUnavailable
from session_service.storage.connections import RedisConnections
from session_service.storage.faults import store_faults
from session_service.storage.settings import RedisSettings, RedisTls
from tests.integration.storage.answers import is_refused, works
from tests.integration.storage.conftest import Connect
from tests.support import LOOPBACK, RedisServer, eventually_async, free_port, require_redis
from tests.support.certificates import CertificateAuthority, IssuedCertificate

AT = RedisSettings(host=LOOPBACK, connect_timeout=2.0)
"""Patient enough for a busy machine."""


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    """The authority that both sides trust."""
    return CertificateAuthority(tmp_path)


@pytest.fixture
def client_certificate(authority: CertificateAuthority) -> IssuedCertificate:
    """What the service shows Redis."""
    return authority.issue("service")


@pytest.fixture
def server(authority: CertificateAuthority) -> Iterator[tuple[RedisServer, int]]:
    """A server that speaks TLS and asks clients for a certificate, and the port for it."""
    issued, port = authority.issue("redis"), free_port()
    tls = {
        "tls-port": str(port),
        "tls-cert-file": str(issued.certificate),
        "tls-key-file": str(issued.key),
        "tls-ca-cert-file": str(authority.certificate),
    }
    with RedisServer(require_redis("system"), tls) as server:
        yield server, port


@pytest.fixture
def settings(
    server: tuple[RedisServer, int],
    authority: CertificateAuthority,
    client_certificate: IssuedCertificate,
) -> RedisSettings:
    """The right settings."""
    tls = RedisTls(
        ca_file=str(authority.certificate),
        cert_file=str(client_certificate.certificate),
        key_file=str(client_certificate.key),
    )
    return replace(AT, port=server[1], tls=tls)


async def test_tls(settings: RedisSettings, connect: Connect) -> None:
    """With the authority and a client certificate changes and reads work, giant replies too."""
    connections = await connect(settings)
    assert await works(connections)
    await connections.client.set("giant", b"x" * 3_000_000)
    assert await connections.reads.read("giant", ("GET", "giant")) == [b"x" * 3_000_000]


async def test_tls_by_url(settings: RedisSettings, connect: Connect) -> None:
    """A ``rediss://`` URL takes the files from the settings."""
    assert await works(await connect(replace(settings, url=f"rediss://{LOOPBACK}:{settings.port}")))


async def test_an_unknown_authority_is_refused(
    settings: RedisSettings, connect: Connect, tmp_path: Path
) -> None:
    """A server whose certificate nobody trusted has signed gets no password and no command."""
    assert settings.tls is not None
    (tmp_path / "other").mkdir()
    other = CertificateAuthority(tmp_path / "other", "Another Authority")
    wrong = replace(settings, tls=replace(settings.tls, ca_file=str(other.certificate)))
    assert await is_refused(await connect(wrong))


async def test_another_hosts_certificate_is_refused(settings: RedisSettings, connect: Connect) -> None:
    """The name in the certificate must be the one connected to."""
    assert await is_refused(await connect(replace(settings, host="127.0.0.2")))


async def test_a_missing_client_certificate_is_refused(
    settings: RedisSettings, connect: Connect, authority: CertificateAuthority
) -> None:
    """Redis that asks for a certificate does not let in who has none."""
    without = replace(settings, tls=RedisTls(ca_file=str(authority.certificate)))
    assert await is_refused(await connect(without))


async def test_clear_text_to_a_tls_port_is_refused(settings: RedisSettings, connect: Connect) -> None:
    """A service that forgot TLS does not work by accident."""
    assert await is_refused(await connect(replace(settings, tls=None)))


async def test_renewed_files_are_used_by_new_connections(
    server: tuple[RedisServer, int],
    settings: RedisSettings,
    connect: Connect,
    authority: CertificateAuthority,
    client_certificate: IssuedCertificate,
) -> None:
    """Redis and the service move to another authority; what is half-written meanwhile is not used."""
    connections = await connect(settings)
    assert await works(connections)
    (authority.certificate.parent / "next").mkdir()
    following = CertificateAuthority(authority.certificate.parent / "next", "Next")
    _show(server[0], following.issue("redis"), following)
    assert settings.tls is not None
    authority.certificate.write_bytes(following.certificate.read_bytes())
    client_certificate.certificate.write_bytes(b"-----BEGIN")
    _cut(server[0])
    assert not await _works(connections)
    issued = following.issue("service")
    client_certificate.certificate.write_bytes(issued.certificate.read_bytes())
    client_certificate.key.write_bytes(issued.key.read_bytes())
    await eventually_async(lambda: _works(connections), timeout=10)


async def test_files_that_break_are_not_used(
    server: tuple[RedisServer, int],
    settings: RedisSettings,
    connect: Connect,
    client_certificate: IssuedCertificate,
) -> None:
    """A client certificate that is half-written leaves the one that works in use."""
    connections = await connect(settings)
    assert await works(connections)
    client_certificate.certificate.write_bytes(b"-----BEGIN")
    _cut(server[0])
    await eventually_async(lambda: _works(connections), timeout=10)


async def _works(connections: RedisConnections) -> bool:
    try:
        with store_faults():
            return await works(connections)
    except StoreUnavailable:
        return False


def _show(server: RedisServer, issued: IssuedCertificate, trusted: CertificateAuthority) -> None:
    with server.client() as client:
        client.execute_command(
            "CONFIG",
            "SET",
            *("tls-cert-file", str(issued.certificate)),
            *("tls-key-file", str(issued.key)),
            *("tls-ca-cert-file", str(trusted.certificate)),
        )


def _cut(server: RedisServer) -> None:
    """End every connection of the service."""
    with server.client() as client:
        client.client_kill_filter(_type="normal", skipme=True)
        client.client_kill_filter(_type="pubsub", skipme=True)
