"""Certificates that are renewed on disk: read again and again, and used once they are whole.

For every engine: ``CertificateWatch.load`` reads the files, ``replace`` hands a usable pair to subscribers.
What is half-written, or does not fit together, leaves in use what was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509 import Certificate, load_pem_x509_certificates

log = logging.getLogger(__name__)


class CertificateError(Exception):
    """The files are no certificate with its key; the text names the file and says why."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """What a server shows and trusts, in PEM.

    Args:
        chain: the server's certificate, then those that vouch for it.
        key: its private key.
        client_roots: the authorities that client certificates are checked by.
        expires: when the server's certificate ends, in seconds since 1970.
    """

    chain: bytes
    key: bytes
    client_roots: bytes | None
    expires: float

    def __repr__(self) -> str:
        """Without the key."""
        return f"Certificates(expires={self.expires})"


Use = Callable[[Certificates], None]
"""Serves connections that come from now on with these; raises ``ValueError`` for what cannot be served."""


class CertificateWatch:
    """The certificates in some files, as they were when they last were usable.

    Compares contents: neither a rename, a link that is pointed elsewhere (as Kubernetes does) nor a write
    within one tick of the file system's clock goes unnoticed.

    Args:
        cert_file: PEM chain, the server's own first.
        key_file: PEM private key, not encrypted.
        client_ca_file: PEM roots that client certificates are checked by.

    Raises:
        CertificateError: the files are not usable.
    """

    def __init__(self, cert_file: Path, key_file: Path, client_ca_file: Path | None = None) -> None:
        self._files = (cert_file, key_file, client_ca_file)
        self._users: list[Use] = []
        self._failed: object = None
        self._logged: object = None
        self.current = self._read()
        """What is in use."""

    def subscribe(self, use: Use) -> None:
        """Use the current certificates now, and each pair that takes their place."""
        use(self.current)
        self._users.append(use)

    def load(self) -> Certificates | None:
        """The files' certificates if they are others than the current ones, and usable; blocks on the disk.

        What stays unusable is logged once.
        """
        try:
            found = self._read()
        except CertificateError as error:
            self._note(str(error))
            return None
        if found != self.current:
            # What has been logged stays so until these are in use: whoever serves may refuse them.
            return found
        self._failed = self._logged = None
        return None

    def replace(self, found: Certificates) -> bool:
        """Use these from now on; whether all subscribers could."""
        try:
            for use in self._users:
                use(found)
        except ValueError as error:
            self._note(str(error))
            return False
        self.current = found
        self._failed = self._logged = None
        log.info("certificates renewed", extra={"expires": int(found.expires)})
        return True

    def _note(self, problem: str) -> None:
        """Log a problem that is still there: files that are being written are none."""
        if problem == self._failed and problem != self._logged:
            log.error("certificates kept as they were", extra={"problem": problem})
            self._logged = problem
        self._failed = problem

    def _read(self) -> Certificates:
        cert_file, key_file, client_ca_file = self._files
        chain, key = _bytes(cert_file), _bytes(key_file)
        roots = _bytes(client_ca_file) if client_ca_file else None
        server = _certificates(cert_file, chain)[0]
        if roots is not None and client_ca_file:
            _certificates(client_ca_file, roots)
        if _public_key(key_file, key) != server.public_key().public_bytes(*_PUBLIC):
            raise CertificateError(f"{key_file}: is not the key of the first certificate in {cert_file}")
        return Certificates(chain, key, roots, server.not_valid_after_utc.timestamp())


_PUBLIC = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CertificateError(f"{file}: {error.strerror}") from error


def _certificates(file: Path, pem: bytes) -> list[Certificate]:
    try:
        return load_pem_x509_certificates(pem)
    except ValueError as error:
        raise CertificateError(f"{file}: holds no certificates in PEM") from error


def _public_key(file: Path, pem: bytes) -> bytes:
    try:
        return load_pem_private_key(pem, None).public_key().public_bytes(*_PUBLIC)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # Not the error's own text: it may repeat what it read.
        raise CertificateError(f"{file}: holds no private key in PEM, or an encrypted one") from error
