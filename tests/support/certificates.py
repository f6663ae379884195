"""Certificates for tests of TLS: an authority of the test's own and what it has signed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.support.ports import LOOPBACK

if TYPE_CHECKING:
    from pathlib import Path

_LIFE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate and its private key, both PEM files."""

    certificate: Path
    key: Path


class CertificateAuthority:
    """Signs certificates that are good for a day, for `localhost`, 127.0.0.1 and the given name.

    Args:
        directory: Where the PEM files go.
        name: The authority's common name; two authorities need two directories.
    """

    def __init__(self, directory: Path, name: str = "Test Authority") -> None:
        self._directory = directory
        self._key = generate_private_key(SECP256R1())
        self._name = _common_name(name)
        self.certificate = directory / "authority.pem"
        """The file that clients and servers trust."""
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        self._write(self.certificate, self._sign(self._name, self._key, constraints))

    def issue(
        self, name: str, subject: x509.Name | None = None, life: timedelta = _LIFE
    ) -> IssuedCertificate:
        """Return a new certificate for servers and clients alike.

        Args:
            name: Its common name, a DNS name among its alternatives, and the stem of its files.
            subject: Its whole subject, instead of the common name.
            life: How long it is good from now on.
        """
        key = generate_private_key(SECP256R1())
        issued = IssuedCertificate(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        addresses = [x509.DNSName(name), x509.DNSName("localhost"), x509.IPAddress(IPv4Address(LOOPBACK))]
        self._write(
            issued.certificate,
            self._sign(subject or _common_name(name), key, x509.SubjectAlternativeName(addresses), life),
        )
        issued.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return issued

    def _sign(
        self,
        subject: x509.Name,
        key: EllipticCurvePrivateKey,
        extension: x509.ExtensionType,
        life: timedelta = _LIFE,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - _LIFE).not_valid_after(now + life)
        return builder.add_extension(extension, critical=False).sign(self._key, hashes.SHA256())

    def _write(self, path: Path, certificate: x509.Certificate) -> None:
        path.write_bytes(certificate.public_bytes(Encoding.PEM))


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
