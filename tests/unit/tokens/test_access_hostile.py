"""Every way to write a token that is not ours; unless said, truly signed, so that one check alone refuses."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from jwt.algorithms import RSAAlgorithm

from session_service.domain.errors import TokenInvalid
from session_service.domain.models import RefreshClaims
from session_service.tokens.access import MAX_TOKEN_LENGTH, JwtAccessTokens
from session_service.tokens.jwk import new_key, read_key
from session_service.tokens.keys import KeyRing
from session_service.tokens.refresh import HmacRefreshTokens
from tests.support.tokens import GOOD_CLAIMS, NOW, base64url, forge, good_header, twin_of, unbase64url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from session_service.domain.models import AccessClaims


def refusal(tokens: JwtAccessTokens, token: str) -> str:
    """Why the token is refused; fails if it is not, or if anything but TokenInvalid comes out."""
    with pytest.raises(TokenInvalid) as refused:
        tokens.verify(token)
    assert type(refused.value) is TokenInvalid
    assert str(refused.value) == "the access token is not valid"
    return str(refused.value.__cause__)


def test_forged_like_ours(tokens: JwtAccessTokens, ring: KeyRing, claims: AccessClaims) -> None:
    """The forge is good: with the right header, claims and key its token passes."""
    assert tokens.verify(forge(good_header(ring), GOOD_CLAIMS, ring.access[0])) == claims


HEADERS: dict[str, dict[str, Any]] = {
    "alg none": {"alg": "none"},
    "alg None": {"alg": "None"},
    "alg empty": {"alg": ""},
    "alg null": {"alg": None},
    "alg list": {"alg": ["HS256"]},
    "alg lower case": {"alg": "hs256"},
    "alg longer hash": {"alg": "HS512"},
    "alg padding": {"alg": "PS256"},
    "kid unknown": {"kid": "nobody"},
    "kid path": {"kid": "../../../../dev/null"},
    "kid file": {"kid": "/etc/passwd"},
    "kid url": {"kid": "https://evil.test/key"},
    "kid sql": {"kid": "x' UNION SELECT 'secret"},
    "kid empty": {"kid": ""},
    "kid null": {"kid": None},
    "kid number": {"kid": 1},
    "kid list": {"kid": ["hs256"]},
    "kid nul": {"kid": "hs256\0"},
    "typ JWT": {"typ": "JWT"},
    "typ upper case": {"typ": "AT+JWT"},
    "typ media type": {"typ": "application/at+jwt"},
    "typ refresh": {"typ": "rt+jwt"},
    "typ null": {"typ": None},
    "jku": {"jku": "https://evil.test/jwks.json"},
    "x5u": {"x5u": "https://evil.test/cert.pem"},
    "x5c": {"x5c": ["MIIB"]},
    "x5t": {"x5t": "AAAA"},
    "jwk": {"jwk": {"kty": "oct", "k": "AAAA"}},
    "crit": {"crit": ["exp"]},
    "crit empty": {"crit": []},
    "crit b64": {"crit": ["b64"], "b64": True},
    "b64 false": {"crit": ["b64"], "b64": False},
    "b64 alone": {"b64": False},
    "zip": {"zip": "DEF"},
    "cty": {"cty": "JWT"},
    "enc": {"enc": "A256GCM"},
    "another": {"x": 1},
}


@pytest.mark.parametrize("change", HEADERS.values(), ids=HEADERS)
def test_headers(tokens: JwtAccessTokens, ring: KeyRing, change: dict[str, Any]) -> None:
    """A header with any other value or any further member is refused, though truly signed."""
    token = forge(good_header(ring) | change, GOOD_CLAIMS, ring.access[0])
    assert refusal(tokens, token) == "not a header of ours"


@pytest.mark.parametrize("member", ["alg", "kid", "typ"])
def test_header_members_are_required(tokens: JwtAccessTokens, ring: KeyRing, member: str) -> None:
    """A header without alg, kid or typ is refused."""
    header = good_header(ring)
    del header[member]
    assert refusal(tokens, forge(header, GOOD_CLAIMS, ring.access[0])) == "not a header of ours"


def test_header_spellings(tokens: JwtAccessTokens, ring: KeyRing) -> None:
    """The same header with a repeated member, white space, an escape, or no object at all is refused."""
    good = json.dumps(good_header(ring), separators=(",", ":"))
    repeated = good[:-1] + ',"alg":"none"}'
    repeated_first = '{"alg":"none",' + good[1:]
    escaped = good.replace("typ", "\\u0074yp")
    deep = '{"alg":' + "[" * 2000 + "]" * 2000 + "}"
    for header in (
        repeated,
        repeated_first,
        escaped,
        deep,
        good + " ",
        good + "\n",
        "",
        "[]",
        "null",
        "{}",
        "\xff",
    ):
        assert refusal(tokens, forge(header, GOOD_CLAIMS, ring.access[0])) in (
            "not a header of ours",
            "too long",
        )


def test_unsigned(tokens: JwtAccessTokens, ring: KeyRing, claims: AccessClaims) -> None:
    """A token without its signature is refused, whatever its header says."""
    header, payload, _ = tokens.issue(claims).split(".")
    none = base64url(b'{"alg":"none","typ":"at+jwt"}')
    assert refusal(tokens, f"{header}.{payload}.") == "another signature"
    assert refusal(tokens, f"{none}.{payload}.") == "not a header of ours"
    for length in (1, 31, 32, 33, 63, 64, 65, 255, 256, 257, 1024):
        for octet in (b"\0", b"\xff"):
            assert refusal(tokens, f"{header}.{payload}.{base64url(octet * length)}") == "another signature"


def test_other_key(tokens: JwtAccessTokens, ring: KeyRing) -> None:
    """A token signed by a foreign key under our kid and algorithm is refused."""
    foreign = read_key(new_key(ring.access[0].alg))
    assert refusal(tokens, forge(good_header(ring), GOOD_CLAIMS, foreign)) == "another signature"


def test_other_key_of_the_ring(tokens: JwtAccessTokens, ring: KeyRing) -> None:
    """A token signed by one key of the ring under the name of another is refused."""
    first, *others = ring.access
    for other in others:
        assert refusal(tokens, forge(good_header(ring), GOOD_CLAIMS, other)) == "another signature"
        header = {"alg": other.alg, "kid": first.kid, "typ": "at+jwt"}
        assert refusal(tokens, forge(header, GOOD_CLAIMS, other)) == "not a header of ours"
        header = {"alg": first.alg, "kid": other.kid, "typ": "at+jwt"}
        assert refusal(tokens, forge(header, GOOD_CLAIMS, first)) == "not a header of ours"


def test_public_key_as_secret(tokens: JwtAccessTokens, jwks: Mapping[str, dict[str, Any]]) -> None:
    """The public key is no HMAC secret, in whatever form an attacker writes it down."""
    public = RSAAlgorithm.from_jwk(jwks["RS256"]).public_key()  # type: ignore[union-attr]
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = public.public_bytes(serialization.Encoding.PEM, info)
    der = public.public_bytes(serialization.Encoding.DER, info)
    for secret in (pem, pem.strip(), der, jwks["RS256"]["n"].encode(), unbase64url(jwks["RS256"]["n"]), b""):
        for alg in ("HS256", "RS256"):
            header = base64url(f'{{"alg":"{alg}","kid":"rs256","typ":"at+jwt"}}'.encode())
            message = f"{header}.{base64url(json.dumps(GOOD_CLAIMS).encode())}"
            mac = hmac.digest(secret or b"\0", message.encode(), hashlib.sha256)
            refusal(tokens, f"{message}.{base64url(mac)}")


def test_embedded_key(tokens: JwtAccessTokens, ring: KeyRing) -> None:
    """A token that brings the very key it is signed with is refused."""
    jwk = new_key(ring.access[0].alg)
    header = good_header(ring) | {"jwk": jwk}
    assert refusal(tokens, forge(header, GOOD_CLAIMS, read_key(jwk))) == "not a header of ours"


def test_twin_signature(tokens: JwtAccessTokens, jwks: Mapping[str, dict[str, Any]]) -> None:
    """Of the two ECDSA signatures that anyone can make from one, ours alone is accepted."""
    token = forge({"alg": "ES256", "kid": "es256", "typ": "at+jwt"}, GOOD_CLAIMS, read_key(jwks["ES256"]))
    tokens.verify(token)
    message, _, signature = token.rpartition(".")
    twin = base64url(twin_of(unbase64url(signature)))
    assert refusal(tokens, f"{message}.{twin}") == "another signature"


MISSING = object()
WRONG_CLAIMS: dict[str, list[Any]] = {
    "iss": [
        MISSING,
        None,
        1,
        "",
        "https://issuer.test/",
        "HTTPS://issuer.test",
        ["https://issuer.test"],
        "a",
    ],
    "aud": [
        MISSING,
        None,
        "",
        "backend",
        "backends2",
        ["backends"],
        ["backends", "x"],
        {"backends": 1},
        True,
    ],
    "sub": [MISSING, None, 1, "", "a b", "a" * 129, "a\0", "a\n", "{user}", "é", ["user.1"]],
    "sid": [MISSING, None, 1, "", "s" * 21, "s" * 23, "s" * 21 + "=", "s" * 21 + "\n", "../" + "s" * 19],
    "jti": [MISSING, None, 1, "", "t" * 21, "t" * 23, "t" * 21 + " ", "t" * 21 + "\u0661"],
    "iat": [MISSING, None, "1700000000", float(NOW), True, -1, NOW + 6, 2**53, 10**300, [NOW], {}],
    "nbf": [MISSING, None, "1700000000", float(NOW), False, -1, NOW + 6, 10**300, [NOW]],
    "exp": [
        MISSING,
        None,
        "1700001800",
        NOW + 0.5,
        True,
        False,
        -1,
        253_402_300_800,
        10**300,
        [NOW + 1800],
        "never",
    ],
}


@pytest.mark.parametrize(
    ("claim", "value"),
    [(claim, value) for claim, values in WRONG_CLAIMS.items() for value in values],
    ids=lambda value: "missing" if value is MISSING else repr(value)[:24],
)
def test_claims(tokens: JwtAccessTokens, ring: KeyRing, claim: str, value: object) -> None:
    """A claim that is missing, of another type, out of range or another's is refused by its name."""
    payload = {name: old for name, old in GOOD_CLAIMS.items() if name != claim}
    if value is not MISSING:
        payload[claim] = value
    assert refusal(tokens, forge(good_header(ring), payload, ring.access[0])).startswith(claim)


def test_unknown_claims_are_ignored(tokens: JwtAccessTokens, ring: KeyRing, claims: AccessClaims) -> None:
    """A claim that a later version may add does not hurt."""
    token = forge(good_header(ring), GOOD_CLAIMS | {"scope": "x"}, ring.access[0])
    assert tokens.verify(token) == claims


def test_payload_spellings(tokens: JwtAccessTokens, ring: KeyRing) -> None:
    """Repeated claims, NaN, other values than an object, other encodings and depth are refused."""
    good = json.dumps(GOOD_CLAIMS)
    for payload in (
        good[:-1] + ', "exp": 99999999999}',
        '{"exp": 99999999999, ' + good[1:],
        good[:-1] + ', "\\u0065xp": 99999999999}',
        good.replace(str(NOW + 1800), "NaN"),
        good.replace(str(NOW + 1800), "Infinity"),
        good.replace(str(NOW + 1800), "1e10"),
        good + "x",
        "[]",
        "",
        '"text"',
        good.encode("utf-16"),
        good.encode().replace(b"user.1", b"user\xff"),
        '{"a":' + "[" * 1500,
    ):
        refusal(tokens, forge(good_header(ring), payload, ring.access[0]))


def test_compact_form(tokens: JwtAccessTokens, claims: AccessClaims) -> None:
    """Padding, white space, missing and further parts, other alphabets: one token has one string."""
    token = tokens.issue(claims)
    header, payload, signature = token.split(".")
    for wrong in (
        "",
        ".",
        "..",
        "...",
        header,
        f"{header}.{payload}",
        f".{payload}.{signature}",
        f"{header}..{signature}",
        f"{token}.",
        f".{token}",
        f"{token}..",
        f"{token}.{signature}.{signature}",
        f"{token}=",
        f"{token}==",
        f"{header}=.{payload}.{signature}",
        f"{header}.{payload}=.{signature}",
        f"{token}\n",
        f" {token}",
        f"\t{token}",
        f"{header}. {payload}.{signature}",
        f"{header}.{payload}\r\n.{signature}",
        f"{token}\0",
        f"{token}\ud800",
        f"\ufeff{token}",
        f"Bearer {token}",
        f'"{token}"',
        f"{header}%2E{payload}.{signature}",
        token.translate({ord("-"): "+", ord("_"): "/"}) + "+",
        "A" * 1_048_576,
        "." * 1_048_576,
        f"{token}{'A' * 1_048_576}",
        json.dumps({"protected": header, "payload": payload, "signature": signature}),
    ):
        refusal(tokens, wrong)


def test_length(tokens: JwtAccessTokens, ring: KeyRing) -> None:
    """A token of more than 4096 characters is refused before anything in it is read."""
    token = forge(good_header(ring), GOOD_CLAIMS | {"padding": "x" * 3000}, ring.access[0])
    assert len(token) > MAX_TOKEN_LENGTH
    assert refusal(tokens, token) == "too long"


def test_refresh_token_as_access_token(tokens: JwtAccessTokens, ring: KeyRing) -> None:
    """A refresh token is no access token."""
    refresh = HmacRefreshTokens(ring).issue(RefreshClaims("user", "s" * 22, 1))
    refusal(tokens, refresh)
    refusal(tokens, refresh.replace(".", "", 2))
