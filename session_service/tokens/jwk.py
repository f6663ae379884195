"""One key: a JSON Web Key (RFC 7517), checked and made ready to sign and verify.

One key has one algorithm, and the key names it, never a token (RFC 8725 §3.1). No message of this
module contains key material, and no error of the libraries, which may, is chained to one.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from jwt.algorithms import Algorithm
from jwt.exceptions import InvalidKeyError

from session_service.tokens import base64url
from session_service.tokens.algorithms import KINDS, MIN_RSA_BITS, MIN_SECRET_BYTES, Kind

_KID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OPERATIONS = ("sign", "verify")


class JwkError(ValueError):
    """A JWK that cannot be used; the message names the member, never its value."""


class Key:
    """A key of a ring. Not a dataclass: printers of those show fields that ``repr`` leaves out.

    Args:
        kid: its id.
        alg: its one algorithm.
        can_sign: false for a public key, or where ``key_ops`` forbids it.
        algorithm: the library's implementation.
        signing: the private key as the implementation takes it, ``None`` if there is none.
        verifying: the public key likewise; for HS256 the secret itself.
    """

    __slots__ = ("_algorithm", "_signing", "_verifying", "alg", "can_sign", "kid")

    def __init__(
        self, *, kid: str, alg: str, can_sign: bool, algorithm: Algorithm, signing: object, verifying: object
    ) -> None:
        self.kid, self.alg, self.can_sign = kid, alg, can_sign
        self._algorithm, self._signing, self._verifying = algorithm, signing, verifying

    def __repr__(self) -> str:
        return f"Key(kid={self.kid!r}, alg={self.alg!r}, can_sign={self.can_sign})"

    def sign(self, message: bytes) -> bytes:
        """The signature of a message (for HS256 its MAC); only where ``can_sign``."""
        return self._algorithm.sign(message, self._signing)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether the signature is this key's, for this message."""
        return self._algorithm.verify(message, self._verifying, signature)

    def same_as(self, other: Key) -> bool:
        """Whether both are one key, whatever their ids."""
        return bool(self._verifying == other._verifying)


def read_key(jwk: Mapping[str, Any]) -> Key:
    """Check a JWK and make it ready.

    ``kid``, ``alg`` and ``kty`` are required; ``use`` and ``key_ops`` must fit if given; members
    that signing does not need are ignored, as RFC 7517 §4 demands.

    Raises:
        JwkError: naming the member that is wrong.
    """
    kid = kid_of(jwk)
    if kid is None:
        raise JwkError('"kid" must be 1 to 64 characters of A-Z a-z 0-9 _ -')
    alg = _read_alg(jwk)
    kind = KINDS[alg]
    _check_members(jwk, kind)
    _check_use(jwk, kind)
    signing, verifying = _load(jwk, alg, kind)
    can_sign = signing is not None and "sign" in jwk.get("key_ops", _OPERATIONS)
    return Key(
        kid=kid,
        alg=alg,
        can_sign=can_sign,
        algorithm=kind.algorithm,
        signing=signing,
        verifying=verifying,
    )


def kid_of(jwk: object) -> str | None:
    """The key's id, if it has the right form: without dots, which part a refresh token's fields."""
    kid = jwk.get("kid") if isinstance(jwk, Mapping) else None
    return kid if isinstance(kid, str) and _KID.fullmatch(kid) else None


def new_key(alg: str) -> dict[str, Any]:
    """A new private key as a JWK with a random ``kid``.

    Args:
        alg: HS256 (32 bytes), EdDSA, ES256 or RS256 (3072 bits).

    Raises:
        JwkError: another algorithm.
    """
    kind = KINDS[_read_alg({"alg": alg})]
    made: dict[str, Any] = kind.algorithm.to_jwk(kind.generate(), as_dict=True)
    members = (kind.private, *kind.public, *kind.factors)
    crv = {"crv": kind.crv} if kind.crv else {}
    header = {"kty": kind.kty, **crv, "kid": secrets.token_hex(8), "alg": alg, "use": "sig"}
    return header | {name: made[name] for name in members}


def _read_alg(jwk: Mapping[str, Any]) -> str:
    alg = jwk.get("alg")
    if not isinstance(alg, str) or alg not in KINDS:
        raise JwkError(f'"alg" must be one of {", ".join(KINDS)}')
    return alg


def _check_members(jwk: Mapping[str, Any], kind: Kind) -> None:
    if jwk.get("kty") != kind.kty:
        raise JwkError(f'"kty" must be "{kind.kty}" for this "alg"')
    if kind.crv and jwk.get("crv") != kind.crv:
        raise JwkError(f'"crv" must be "{kind.crv}" for this "alg"')
    for name in _required(jwk, kind):
        if name not in jwk:
            raise JwkError(f'"{name}" is missing')
        try:
            empty = not base64url.decode(jwk[name])
        except (TypeError, ValueError):
            empty = True
        if empty:
            raise JwkError(f'"{name}" must be base64url without padding')


def _required(jwk: Mapping[str, Any], kind: Kind) -> tuple[str, ...]:
    if any(name in jwk for name in kind.factors):
        return (*kind.public, kind.private, *kind.factors)
    if kind.private in jwk or not kind.public:
        return (*kind.public, kind.private)
    return kind.public


def _check_use(jwk: Mapping[str, Any], kind: Kind) -> None:
    if jwk.get("use", "sig") != "sig":
        raise JwkError('"use" must be "sig" if given')
    given = jwk.get("key_ops", ["verify"])
    if not isinstance(given, list) or sorted(map(str, given)) not in (["sign"], ["verify"], [*_OPERATIONS]):
        raise JwkError('"key_ops" must be a list of "sign", "verify" or both if given')
    if "sign" in given and kind.private not in jwk:
        raise JwkError('"key_ops" has "sign", but the key is public')
    # Of a key pair, the public half of the key that signs may always verify.
    if "verify" not in given and not kind.public:
        raise JwkError('"key_ops" must have "verify"')


def _load(jwk: Mapping[str, Any], alg: str, kind: Kind) -> tuple[Any, Any]:
    try:
        loaded = kind.algorithm.prepare_key(kind.algorithm.from_jwk(dict(jwk)))
    except (InvalidKeyError, UnsupportedAlgorithm, TypeError, ValueError):
        raise JwkError(f"is not a consistent {alg} key") from None
    if isinstance(loaded, bytes):
        if len(loaded) < MIN_SECRET_BYTES:
            raise JwkError(f'"k" must have at least {MIN_SECRET_BYTES} bytes')
        return loaded, loaded
    if isinstance(loaded, RSAPrivateKey | RSAPublicKey) and loaded.key_size < MIN_RSA_BITS:
        raise JwkError(f'"n" must have at least {MIN_RSA_BITS} bits')
    return (loaded, loaded.public_key()) if kind.private in jwk else (None, loaded)
