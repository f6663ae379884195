"""Names in certificates."""

from __future__ import annotations

from functools import lru_cache

from cryptography import x509
from cryptography.x509.oid import NameOID


@lru_cache(maxsize=256)
def common_name(certificate: bytes) -> str:
    """The first common name in the subject of a certificate in DER, as gRPC takes it; empty if it has none.

    Remembered, as the calls of a connection all have the same.
    """
    try:
        names = x509.load_der_x509_certificate(certificate).subject.get_attributes_for_oid(
            NameOID.COMMON_NAME
        )
    except ValueError:
        return ""
    if not names:
        return ""
    value = names[0].value
    return value if isinstance(value, str) else value.decode(errors="replace")
