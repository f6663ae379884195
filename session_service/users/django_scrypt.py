"""Django's scrypt format, the one of its password hashers that passlib does not read."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from typing import ClassVar

from passlib.utils import handlers as uh
from passlib.utils import to_unicode
from passlib.utils.binary import PADDED_BASE64_CHARS

_DIGEST_BYTES = 64
_MEMORY_HEADROOM = 2


class django_scrypt(uh.GenericHandler):  # noqa: N801 - passlib names a handler after its scheme
    """Reads ``scrypt$<N>$<salt>$<r>$<p>$<base64 digest>``, as Django's ``ScryptPasswordHasher``.

    Only verifies: new hashes are never made in this format. ``work_factor``, ``block_size`` and
    ``parallelism`` are scrypt's N, r and p (RFC 7914).
    """

    name = "django_scrypt"
    ident = "scrypt$"
    setting_kwds: ClassVar[tuple[str, ...]] = ()
    checksum_size = len(b64encode(bytes(_DIGEST_BYTES)))
    checksum_chars = PADDED_BASE64_CHARS

    def __init__(self, salt: str, work_factor: int, block_size: int, parallelism: int, checksum: str) -> None:
        super().__init__(checksum=checksum)
        self.salt = salt
        self.work_factor = work_factor
        self.block_size = block_size
        self.parallelism = parallelism

    @classmethod
    def from_string(cls, hash: str | bytes, **_: object) -> django_scrypt:  # noqa: A002 - passlib's name
        """Take a stored hash apart.

        Raises:
            ValueError: it is not of this format.
        """
        stored: str = to_unicode(hash, "ascii", "hash")
        if not stored.startswith(cls.ident):
            raise ValueError("not a Django scrypt hash")
        work_factor, salt, block_size, parallelism, digest = stored.removeprefix(cls.ident).split("$")
        b64decode(digest, validate=True)
        return cls(salt, int(work_factor), int(block_size), int(parallelism), digest)

    def _calc_checksum(self, secret: str | bytes) -> str:
        password = secret.encode() if isinstance(secret, str) else secret
        memory = 128 * self.block_size * (self.work_factor + self.parallelism)
        digest = hashlib.scrypt(
            password,
            salt=self.salt.encode(),
            n=self.work_factor,
            r=self.block_size,
            p=self.parallelism,
            maxmem=memory * _MEMORY_HEADROOM,
            dklen=_DIGEST_BYTES,
        )
        return b64encode(digest).decode()
