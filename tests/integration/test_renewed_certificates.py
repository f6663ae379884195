"""Certificates and authorities that are renewed on disk are served to new connections, without a signal."""

from __future__ import annotations

import asyncio
import ssl
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.integration.test_tls import answers, credentials
from tests.support import RedisServer, eventually_async
from tests.support.certificates import CertificateAuthority, IssuedCertificate
from tests.support.in_process import ServiceUnderTest, in_process

EXPIRY = "session_tls_certificate_expiry_seconds"
# Renewed within seconds: one poll, and what a busy machine adds.
SECONDS = 15.0


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    """Signs the server's certificates."""
    return CertificateAuthority(tmp_path)


async def _shown(service: ServiceUnderTest) -> int:
    """The serial number of the certificate that a new connection is shown."""
    host, _, port = service.address.rpartition(":")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    found: Any = writer.get_extra_info("ssl_object")
    writer.close()
    return x509.load_der_x509_certificate(found.getpeercert(binary_form=True)).serial_number


def _serial(issued: IssuedCertificate) -> int:
    return x509.load_pem_x509_certificate(issued.certificate.read_bytes()).serial_number


def _redis(server: RedisServer) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": server.port}


async def test_a_renewed_certificate_is_served(
    one_redis: RedisServer, tmp_path: Path, authority: CertificateAuthority, engine: str
) -> None:
    """New connections see the new certificate, old ones go on, and the metric says when it ends."""
    served, other = authority.issue("server"), authority.issue("other", life=timedelta(days=7))
    section = {"tls": {"cert_file": served.certificate, "key_file": served.key}}
    async with in_process(_redis(one_redis), tmp_path, server=section) as service:
        first = _serial(served)
        assert await _shown(service) == first
        expires = service.registry.get_sample_value(EXPIRY) or 0.0
        # Half of a pair, and then the other half.
        other.certificate.replace(served.certificate)
        assert await _shown(service) == first
        other.key.replace(served.key)
        await eventually_async(lambda: _is(service, _serial(served)), timeout=SECONDS)
        later = expires + timedelta(days=5).total_seconds()
        await eventually_async(
            lambda: (service.registry.get_sample_value(EXPIRY) or 0) > later, timeout=SECONDS
        )


async def test_a_bad_pair_changes_nothing(
    one_redis: RedisServer,
    tmp_path: Path,
    authority: CertificateAuthority,
    engine: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What does not fit together is logged, and what was served is served on."""
    served = authority.issue("server")
    section = {"tls": {"cert_file": served.certificate, "key_file": served.key}}
    async with in_process(_redis(one_redis), tmp_path, server=section) as service:
        first = _serial(served)
        served.key.write_bytes(authority.issue("other").key.read_bytes())
        await eventually_async(lambda: "certificates kept as they were" in caplog.text, timeout=SECONDS)
        assert await _shown(service) == first


async def test_a_renewed_authority_decides_about_clients(
    one_redis: RedisServer, tmp_path: Path, authority: CertificateAuthority, engine: str
) -> None:
    """Clients of the authority that took the place of another are let in, and the others' no more."""
    (tmp_path / "next").mkdir()
    following = CertificateAuthority(tmp_path / "next", "Next")
    roots = tmp_path / "roots.pem"
    roots.write_bytes(authority.certificate.read_bytes())
    served = authority.issue("server")
    tls = {"cert_file": served.certificate, "key_file": served.key, "client_ca_file": roots}
    section = {"tls": {**tls, "require_client_certificate": True}}
    async with in_process(_redis(one_redis), tmp_path, server=section) as service:
        old = credentials(authority, authority.issue("old"))
        new = credentials(authority, following.issue("new"))
        assert await answers(service.address, old)
        assert not await answers(service.address, new)
        roots.write_bytes(following.certificate.read_bytes())
        await eventually_async(lambda: answers(service.address, new), timeout=SECONDS)
        assert not await answers(service.address, old)


async def _is(service: ServiceUnderTest, serial: int) -> bool:
    return await _shown(service) == serial
