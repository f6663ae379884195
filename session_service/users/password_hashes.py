"""Which password hashes are made, which are accepted from elsewhere, and what they may cost."""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from passlib.context import CryptContext

from session_service.users.django_scrypt import django_scrypt


@dataclass(frozen=True, slots=True)
class Argon2Profile:
    """Parameters of argon2id (RFC 9106).

    Args:
        memory_kib: memory per hash, in KiB.
        passes: passes over that memory.
        lanes: lanes, each a thread of its own while hashing.
    """

    memory_kib: int
    passes: int
    lanes: int = 1


OWASP_ARGON2ID = Argon2Profile(memory_kib=19_456, passes=2)
"""19 MiB, 2 passes, 1 lane: OWASP Password Storage Cheat Sheet (ASVS 11.4.2).

passlib's own default is 4 lanes: four threads a hash, which two logins at once would fight over.
"""

_ACCEPTED = (
    "bcrypt",
    "bcrypt_sha256",
    "scrypt",
    "pbkdf2_sha256",
    "pbkdf2_sha512",
    "pbkdf2_sha1",
    "django_pbkdf2_sha256",
    "django_pbkdf2_sha1",
    "django_bcrypt_sha256",
    django_scrypt,
)
_DJANGO_PREFIXES = {"argon2$argon2": "argon2", "bcrypt$$2": "bcrypt$"}
"""Django puts ``argon2`` or ``bcrypt$`` before the plain hash. passlib has wrappers for these, but
its own for argon2 knows argon2i alone, and Django has written argon2id since 3.2."""

# What one verification may cost at most: about a second of one core, and 256 MiB. An imported hash
# sets its own parameters, so without a limit one row of a dump could stop every login.
_MAX_LENGTH = 512
_MAX_MEMORY_KIB = 262_144
_MAX_MEMORY_PASSES_KIB = 1_048_576
_MAX_LANES = 16
_MAX_BCRYPT_ROUNDS = 14
_MAX_PBKDF2_ROUNDS = 2_500_000

# What passlib raises on a malformed hash, on a password that a format cannot take (bcrypt: more
# than 72 bytes, NUL), and on options that its back ends do not have.
_UNUSABLE = (ValueError, TypeError, AssertionError, NotImplementedError)


class PasswordHashes:
    """Hashes and verifies in the calling thread; ``PooledPasswordHasher`` is its way out.

    Args:
        profile: parameters of new hashes; a hash with others is replaced when next verified.
    """

    def __init__(self, profile: Argon2Profile = OWASP_ARGON2ID) -> None:
        self._context = CryptContext(
            schemes=["argon2", *_ACCEPTED],
            deprecated="auto",
            argon2__type="ID",
            argon2__memory_cost=profile.memory_kib,
            argon2__rounds=profile.passes,
            argon2__parallelism=profile.lanes,
            argon2__salt_size=16,
            argon2__digest_size=32,
        )
        self._argon2: Any = self._context.handler("argon2")
        # passlib would parse each hash three times: whether it may be verified, to do so, whether it is to be
        # replaced. Of one that is exactly as those made here the first and the last are known.
        self._as_made_here = re.compile(
            rf"\$argon2id\$v=19\$m={profile.memory_kib},t={profile.passes},p={profile.lanes}"
            r"\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}",
            re.ASCII,
        ).fullmatch
        self._nobodys_hash: str = self._context.hash(secrets.token_urlsafe())

    def hash(self, password: str) -> str:
        """The password under the current profile, as a modular-crypt string."""
        return str(self._context.hash(password))

    def verify(self, password: str, stored: str | None) -> str | None:
        """The hash to keep if the password is right, else ``None``; see ``ports.PasswordHasher``.

        No hash, one that is malformed and one that costs too much take the time of a hash of
        today's parameters (ASVS 6.3.8). Until his first login a user brought from elsewhere
        takes the time of his own hash.
        """
        made_here = stored is not None and self._as_made_here(stored)
        if stored is None or not (made_here or self.recognises(stored)):
            self._refuse(password)
            return None
        try:
            if made_here:
                return stored if self._argon2.verify(password, stored) else None
            right, stronger = self._context.verify_and_update(password, _plain(stored))
        except _UNUSABLE:
            self._refuse(password)
            return None
        return (stronger or stored) if right else None

    def recognises(self, stored: str) -> bool:
        """Whether this is a whole hash of an accepted format, at a cost within the limits."""
        if len(stored) > _MAX_LENGTH:
            return False
        try:
            handler: Any = self._context.handler(self._context.identify(_plain(stored)))
            parsed = handler.from_string(_plain(stored))
        except (*_UNUSABLE, KeyError):
            return False
        return parsed.checksum is not None and _affordable(parsed)

    def _refuse(self, password: str) -> None:
        with suppress(ValueError):
            self._context.verify(password, self._nobodys_hash)


def _plain(stored: str) -> str:
    """The hash without what Django put before it."""
    for start, prefix in _DJANGO_PREFIXES.items():
        if stored.startswith(start):
            return stored.removeprefix(prefix)
    return stored


def _affordable(parsed: Any) -> bool:  # noqa: ANN401 - a passlib handler of whichever scheme
    match parsed.name:
        case "argon2":
            kib, passes, lanes = parsed.memory_cost, parsed.rounds, parsed.parallelism
        case "scrypt":
            kib = (parsed.block_size << parsed.rounds) // 8
            passes, lanes = parsed.parallelism, 1
        case "django_scrypt":
            kib = parsed.block_size * parsed.work_factor // 8
            passes, lanes = parsed.parallelism, 1
        case "bcrypt" | "bcrypt_sha256" | "django_bcrypt_sha256":
            return bool(parsed.rounds <= _MAX_BCRYPT_ROUNDS)
        case _:
            return bool(parsed.rounds <= _MAX_PBKDF2_ROUNDS)
    return bool(kib <= _MAX_MEMORY_KIB and kib * passes <= _MAX_MEMORY_PASSES_KIB and lanes <= _MAX_LANES)
