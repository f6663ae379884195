"""Service keys: how operators' tools and trusted services prove themselves."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

_PREFIX = "ssk_"
_KEY_BYTES = 32


def new_service_key() -> str:
    """A fresh key: 256 random bits behind a prefix that secret scanners can find (ASVS 11.5.1)."""
    return _PREFIX + secrets.token_urlsafe(_KEY_BYTES)


def service_key_digest(key: str) -> str:
    """What is kept of a key: its SHA-256, in lower-case hex.

    A plain hash is enough where the secret is 256 random bits: there is nothing to guess
    (NIST SP 800-63B-4 §3.1.2.2, look-up secrets of at least 112 bits).
    """
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()


@dataclass(frozen=True, slots=True)
class ServiceKey:
    """One configured key.

    Args:
        name: who holds it; appears in the audit trail as ``service:<name>``.
        digest: ``service_key_digest`` of the key.
        roles: what it may do, such as ``admin``.
    """

    name: str
    digest: str = field(repr=False)
    roles: tuple[str, ...] = ()


class ServiceKeys:
    """The configured keys; none means that no service key is accepted."""

    def __init__(self, keys: Iterable[ServiceKey] = ()) -> None:
        self._keys = tuple(keys)

    def identify(self, presented: str) -> ServiceKey | None:
        """Whose key this is; takes the same time whichever it is, and if it is none."""
        digest = service_key_digest(presented)
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found
