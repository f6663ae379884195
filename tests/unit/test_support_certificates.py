"""CertificateAuthority: certificates that TLS accepts, and only from whoever trusts their authority."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support import LOOPBACK, CertificateAuthority, RedisServer, free_port, require_redis

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def tls_port(certificate_authority: CertificateAuthority) -> Iterator[int]:
    """The port of a Redis that asks its clients for a certificate; the bundled one has no TLS."""
    issued = certificate_authority.issue("redis.test")
    port = free_port()
    config = {
        "tls-port": str(port),
        "tls-cert-file": str(issued.certificate),
        "tls-key-file": str(issued.key),
        "tls-ca-cert-file": str(certificate_authority.certificate),
    }
    with RedisServer(require_redis("system"), config):
        yield port


def _ping(port: int, trusted: CertificateAuthority, presented: CertificateAuthority) -> bool:
    issued = presented.issue("client.test")
    client = redis.Redis(
        host=LOOPBACK,
        port=port,
        ssl=True,
        ssl_ca_certs=str(trusted.certificate),
        ssl_certfile=str(issued.certificate),
        ssl_keyfile=str(issued.key),
        retry=Retry(NoBackoff(), 0),
    )
    with client:
        return bool(client.ping())


def test_both_sides_accept_the_same_authority(
    tls_port: int, certificate_authority: CertificateAuthority
) -> None:
    """A server and a client with certificates of one authority trust each other, by address."""
    assert _ping(tls_port, certificate_authority, certificate_authority)


def test_a_stranger_is_refused_on_either_side(
    tls_port: int, certificate_authority: CertificateAuthority, tmp_path: Path
) -> None:
    """The certificates of another authority are worth nothing, the server's as the client's."""
    stranger = CertificateAuthority(tmp_path)
    with pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        _ping(tls_port, stranger, certificate_authority)
    with pytest.raises(redis.ConnectionError):
        _ping(tls_port, certificate_authority, stranger)
