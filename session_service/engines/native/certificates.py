"""What a client's certificate says of the client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

COMMON_NAME: Final = "x509_common_name"
ALTERNATIVE_NAME: Final = "x509_subject_alternative_name"


@lru_cache(maxsize=256)
def names(certificate: bytes) -> Mapping[str, Sequence[bytes]]:
    """The names in a certificate in DER, by gRPC's keys for them; of a kind that it has not there is no key.

    Remembered, as the calls of a connection all have the same.
    """
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        found = {COMMON_NAME: _common(parsed)[:1], ALTERNATIVE_NAME: _alternative(parsed)}
    except ValueError:
        return {}
    return {key: [name.encode() for name in values] for key, values in found.items() if values}


def _common(certificate: x509.Certificate) -> list[str]:
    attributes = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return [
        each.value if isinstance(each.value, str) else each.value.decode(errors="replace")
        for each in attributes
    ]


def _alternative(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    shown = (x509.DNSName, x509.IPAddress, x509.UniformResourceIdentifier, x509.RFC822Name)
    return [str(each.value) for each in extension.value if isinstance(each, shown)]
