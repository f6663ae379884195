"""The four signature algorithms, and what each asks of a key.

===== ==== ======= ==========================================
alg   kty  crv     rule
===== ==== ======= ==========================================
HS256 oct          at least 32 bytes (RFC 7518 §3.2)
EdDSA OKP  Ed25519 (RFC 8037)
ES256 EC   P-256   signatures in their lower form
RS256 RSA          at least 2048 bits (RFC 7518 §3.3)
===== ==== ======= ==========================================
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import Algorithm, ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm

MIN_SECRET_BYTES = 32
MIN_RSA_BITS = 2048

_NEW_RSA_BITS = 3072
_P256_BYTES = 32
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_MAX_S = _P256_ORDER // 2


class OneStepHmac(HMACAlgorithm):
    """HS256 in one call of OpenSSL, at a third of what an object for each message costs."""

    def sign(self, msg: bytes, key: bytes) -> bytes:
        """The MAC; ``verify`` compares with it."""
        return hmac.digest(key, msg, "sha256")


class LowerEcdsa(ECAlgorithm):
    """ES256 that knows one of the twin signatures (r, s) and (r, n - s): the one with the lower s.

    Either twin is made from the other without the key, so that anyone who holds a token could
    otherwise write it in a second way.
    """

    def sign(self, msg: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
        """Sign, and turn the signature into its lower form if need be."""
        signature = super().sign(msg, key)
        r, s = signature[:_P256_BYTES], int.from_bytes(signature[_P256_BYTES:])
        return r + min(s, _P256_ORDER - s).to_bytes(_P256_BYTES)

    def verify(
        self,
        msg: bytes,
        key: ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey,
        sig: bytes,
    ) -> bool:
        """Whether this is the lower form of a signature by the key."""
        return int.from_bytes(sig[_P256_BYTES:]) <= _MAX_S and super().verify(msg, key, sig)


@dataclass(frozen=True, slots=True)
class Kind:
    """A JWS algorithm (RFC 7518 §3) and the JSON Web Keys that fit it.

    Args:
        algorithm: the library's implementation.
        kty: the key type.
        crv: the curve, if the type has curves.
        public: base64url members that every key of the kind has.
        private: the member that only a private key has.
        factors: further private members, either all there or none.
        generate: makes a new private key, as the library's algorithm takes it.
    """

    algorithm: Algorithm
    kty: str
    crv: str | None
    public: tuple[str, ...]
    private: str
    factors: tuple[str, ...]
    generate: Callable[[], Any]


KINDS = {
    "HS256": Kind(
        algorithm=OneStepHmac(HMACAlgorithm.SHA256),
        kty="oct",
        crv=None,
        public=(),
        private="k",
        factors=(),
        generate=lambda: secrets.token_bytes(MIN_SECRET_BYTES),
    ),
    "EdDSA": Kind(
        algorithm=OKPAlgorithm(),
        kty="OKP",
        crv="Ed25519",
        public=("x",),
        private="d",
        factors=(),
        generate=ed25519.Ed25519PrivateKey.generate,
    ),
    "ES256": Kind(
        algorithm=LowerEcdsa(LowerEcdsa.SHA256, ec.SECP256R1),
        kty="EC",
        crv="P-256",
        public=("x", "y"),
        private="d",
        factors=(),
        generate=lambda: ec.generate_private_key(ec.SECP256R1()),
    ),
    "RS256": Kind(
        algorithm=RSAAlgorithm(RSAAlgorithm.SHA256),
        kty="RSA",
        crv=None,
        public=("n", "e"),
        private="d",
        factors=("p", "q", "dp", "dq", "qi"),
        generate=lambda: rsa.generate_private_key(public_exponent=65537, key_size=_NEW_RSA_BITS),
    ),
}
