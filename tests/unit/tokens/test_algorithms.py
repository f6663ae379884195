"""The algorithms are the standards' own, and ES256 knows one of two twin signatures."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from session_service.tokens.algorithms import KINDS, LowerEcdsa
from tests.support.tokens import twin_of, unbase64url

PLAIN = ECAlgorithm(ECAlgorithm.SHA256, ec.SECP256R1)
LOWER = LowerEcdsa(LowerEcdsa.SHA256, ec.SECP256R1)


def test_rfc_7515_hs256() -> None:
    """HS256 reproduces the example of RFC 7515, appendix A.1."""
    secret = unbase64url(
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
    )
    message = (
        b"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
        b".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    )
    mark = unbase64url("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert KINDS["HS256"].algorithm.sign(message, secret) == mark


def test_rfc_8037_eddsa() -> None:
    """EdDSA reproduces the example of RFC 8037, appendix A.4."""
    eddsa = KINDS["EdDSA"].algorithm
    key = eddsa.from_jwk(
        {
            "kty": "OKP",
            "crv": "Ed25519",
            "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        }
    )
    message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
    mark = unbase64url(
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    )
    assert eddsa.sign(message, key) == mark


def test_lower_form_is_what_is_signed() -> None:
    """Every signature is in the lower form, which any other ES256 accepts."""
    key = ec.generate_private_key(ec.SECP256R1())
    for _ in range(64):
        signature = LOWER.sign(b"message", key)
        assert LOWER.verify(b"message", key, signature)
        assert PLAIN.verify(b"message", key, signature)


def test_twin_is_refused() -> None:
    """The twin of a signature, as good to any other ES256, is refused."""
    key = ec.generate_private_key(ec.SECP256R1())
    for _ in range(64):
        twin = twin_of(LOWER.sign(b"message", key))
        assert PLAIN.verify(b"message", key, twin)
        assert not LOWER.verify(b"message", key, twin)


def test_signatures_of_another_size_are_refused() -> None:
    """No length of signature but 64 bytes is accepted, nor does one raise."""
    key = ec.generate_private_key(ec.SECP256R1())
    signature = LOWER.sign(b"message", key)
    for wrong in (b"", signature[:32], signature[:63], signature + b"\0", b"\0" + signature, bytes(64)):
        assert not LOWER.verify(b"message", key, wrong)
