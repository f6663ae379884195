"""A JWK is taken only if everything about it fits; what is wrong is named, never shown."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from session_service.tokens.algorithms import KINDS
from session_service.tokens.jwk import JwkError, new_key, read_key
from tests.support.tokens import base64url, unbase64url

if TYPE_CHECKING:
    from collections.abc import Mapping

PRIVATE = ("k", "d", "p", "q", "dp", "dq", "qi")


def refusal(jwk: Mapping[str, Any]) -> str:
    """Why the key is refused; fails if it is not, or if any of its secrets shows."""
    with pytest.raises(JwkError) as refused:
        read_key(jwk)
    shown = "".join(traceback.format_exception(refused.value))
    assert not [name for name in PRIVATE if len(str(jwk.get(name, ""))) > 8 and str(jwk[name]) in shown]
    return str(refused.value)


def public_half(jwk: Mapping[str, Any]) -> dict[str, Any]:
    """The JWK without its private members."""
    return {name: value for name, value in jwk.items() if name not in PRIVATE}


def test_new_keys(jwks: Mapping[str, dict[str, Any]]) -> None:
    """A new key of each algorithm signs what it verifies, and nothing else."""
    for alg in KINDS:
        key = read_key(jwks[alg])
        assert (key.alg, key.kid, key.can_sign) == (alg, alg.lower(), True)
        signature = key.sign(b"message")
        assert key.verifies(b"message", signature)
        assert not key.verifies(b"another", signature)


def test_new_keys_differ() -> None:
    """No two new keys share an id or a secret."""
    one, other = new_key("HS256"), new_key("HS256")
    assert one["kid"] != other["kid"]
    assert one["k"] != other["k"]
    assert len(unbase64url(one["k"])) == 32


def test_new_key_of_another_algorithm() -> None:
    """An algorithm that is not one of ours is refused by name of the member."""
    with pytest.raises(JwkError, match='"alg" must be one of HS256, EdDSA, ES256, RS256'):
        new_key("none")


def test_public_halves(jwks: Mapping[str, dict[str, Any]]) -> None:
    """The public half of a key verifies, cannot sign, and is the same key."""
    for alg in ("EdDSA", "ES256", "RS256"):
        private, public = read_key(jwks[alg]), read_key(public_half(jwks[alg]))
        assert public.verifies(b"message", private.sign(b"message"))
        assert not public.can_sign
        assert public.same_as(private)


def test_rsa_without_factors(jwks: Mapping[str, dict[str, Any]]) -> None:
    """An RSA key may leave its prime factors to be found again (RFC 7518 §6.3.2)."""
    short = {name: value for name, value in jwks["RS256"].items() if name in "kty kid alg n e d"}
    assert read_key(short).can_sign


def test_repr_shows_no_secret(jwks: Mapping[str, dict[str, Any]]) -> None:
    """A key prints its id, its algorithm and whether it can sign."""
    assert repr(read_key(jwks["HS256"])) == "Key(kid='hs256', alg='HS256', can_sign=True)"
    assert repr(read_key(jwks["EdDSA"])) == "Key(kid='eddsa', alg='EdDSA', can_sign=True)"


@pytest.mark.parametrize("alg", KINDS)
def test_required_members(jwks: Mapping[str, dict[str, Any]], alg: str) -> None:
    """Each member that the algorithm needs is missed by its name."""
    kind = KINDS[alg]
    needed = ["kid", "alg", "kty", *kind.public, *kind.factors]
    needed += ["crv"] * bool(kind.crv) + [kind.private] * (not kind.public or bool(kind.factors))
    for name in needed:
        assert f'"{name}"' in refusal({key: value for key, value in jwks[alg].items() if key != name})


@pytest.mark.parametrize(
    "value",
    [None, 1, True, [], {}, "", "A" * 6 + "=", "+" * 8, "AAAA AAAA", "AB", "A", "\u0410" * 8, b"AAAA"],
    ids=repr,
)
def test_members_are_base64url(jwks: Mapping[str, dict[str, Any]], value: object) -> None:
    """Each number or secret of a key is canonical base64url; the library would read on regardless."""
    for alg, kind in KINDS.items():
        for name in (kind.private, *kind.public, *kind.factors):
            assert f'"{name}" must be base64url' in refusal(jwks[alg] | {name: value})


@pytest.mark.parametrize(
    "kid", ["", "a" * 65, "a.b", "a b", "a/b", "../a", "\u00e9", "a\n", None, 1, ["a"], "a\0"], ids=repr
)
def test_kid(jwks: Mapping[str, dict[str, Any]], kid: object) -> None:
    """An id is 1 to 64 url-safe characters."""
    assert refusal(jwks["HS256"] | {"kid": kid}) == '"kid" must be 1 to 64 characters of A-Z a-z 0-9 _ -'


@pytest.mark.parametrize("alg", ["none", "HS512", "PS256", "ES256K", "Ed25519", "", None, 1, ["HS256"], {}])
def test_other_algorithms(jwks: Mapping[str, dict[str, Any]], alg: object) -> None:
    """Any other algorithm is refused."""
    assert refusal(jwks["HS256"] | {"alg": alg}).startswith('"alg" must be one of')


def test_algorithm_and_type_fit(jwks: Mapping[str, dict[str, Any]]) -> None:
    """A key of one type is not taken for the algorithm of another."""
    for alg, jwk in jwks.items():
        for other in KINDS:
            if other != alg:
                assert refusal(jwk | {"alg": other}).startswith('"kty" must be')


def test_other_curves(jwks: Mapping[str, dict[str, Any]]) -> None:
    """Curves other than P-256 and Ed25519 are refused, their keys under our name too."""
    p384 = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()), as_dict=True)
    named = p384 | {"kid": "a", "alg": "ES256"}
    assert refusal(named) == '"crv" must be "P-256" for this "alg"'
    assert refusal(named | {"crv": "P-256"}) == "is not a consistent ES256 key"
    for crv in ("Ed448", "X25519", "P-256", None, 1):
        assert refusal(jwks["EdDSA"] | {"crv": crv}) == '"crv" must be "Ed25519" for this "alg"'


def test_short_keys() -> None:
    """Secrets under 32 bytes and RSA keys under 2048 bits are refused (RFC 7518 §3.2, §3.3)."""
    secret = {"kty": "oct", "kid": "a", "alg": "HS256"}
    assert refusal(secret | {"k": base64url(b"s" * 31)}) == '"k" must have at least 32 bytes'
    assert read_key(secret | {"k": base64url(b"s" * 32)}).can_sign
    private = rsa.generate_private_key(public_exponent=65537, key_size=2040)  # noqa: S505  # the point
    for key in (private, private.public_key()):
        small = RSAAlgorithm.to_jwk(key, as_dict=True) | {"kid": "a", "alg": "RS256"}
        assert refusal(small) == '"n" must have at least 2048 bits'


def test_halves_that_do_not_fit(jwks: Mapping[str, dict[str, Any]]) -> None:
    """A private member that belongs to another public key is refused."""
    for alg in ("EdDSA", "ES256"):
        other = new_key(alg)
        assert refusal(jwks[alg] | {"d": other["d"]}) == f"is not a consistent {alg} key"
    assert refusal(jwks["RS256"] | {"p": jwks["RS256"]["q"]}) == "is not a consistent RS256 key"
    assert refusal(jwks["RS256"] | {"e": "AQAD"}) == "is not a consistent RS256 key"
    assert refusal(jwks["ES256"] | {"y": jwks["ES256"]["x"]}) == "is not a consistent ES256 key"
    assert refusal(jwks["RS256"] | {"oth": []}) == "is not a consistent RS256 key"


def test_secret_that_is_a_public_key(jwks: Mapping[str, dict[str, Any]]) -> None:
    """A PEM, or a JWK, written down as an HMAC secret is refused: it is public."""
    for text in (
        b"-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n",
        b'{"kty":"oct","k":"AAAAAAAAAAAAA"}',
    ):
        assert refusal(jwks["HS256"] | {"k": base64url(text)}) == "is not a consistent HS256 key"


@pytest.mark.parametrize("use", ["enc", "", None, "SIG", ["sig"]])
def test_use(jwks: Mapping[str, dict[str, Any]], use: object) -> None:
    """A key for another use is refused."""
    assert refusal(jwks["HS256"] | {"use": use}) == '"use" must be "sig" if given'


@pytest.mark.parametrize(
    "operations",
    [[], ["encrypt"], ["sign", "encrypt"], ["sign", "sign"], "sign", None, {"sign": 1}, [["sign"]], [1]],
    ids=repr,
)
def test_key_ops(jwks: Mapping[str, dict[str, Any]], operations: object) -> None:
    """Operations other than signing and verifying, or said twice, are refused."""
    for jwk in jwks.values():
        problem = '"key_ops" must be a list of "sign", "verify" or both if given'
        assert refusal(jwk | {"key_ops": operations}) == problem


def test_key_ops_that_fit(jwks: Mapping[str, dict[str, Any]]) -> None:
    """``key_ops`` decides whether a key may sign; a secret has to be allowed to verify as well."""
    for alg, jwk in jwks.items():
        assert read_key(jwk | {"key_ops": ["sign", "verify"]}).can_sign
        assert not read_key(jwk | {"key_ops": ["verify"]}).can_sign
        if alg == "HS256":
            assert refusal(jwk | {"key_ops": ["sign"]}) == '"key_ops" must have "verify"'
        else:
            assert read_key(jwk | {"key_ops": ["sign"]}).can_sign
            public = public_half(jwk) | {"key_ops": ["sign"]}
            assert refusal(public) == '"key_ops" has "sign", but the key is public'


def test_other_members_are_ignored(jwks: Mapping[str, dict[str, Any]]) -> None:
    """Members that signing does not need are ignored (RFC 7517 §4)."""
    assert read_key(jwks["HS256"] | {"x5t": "AAAA", "note": 1, "oth": None}).can_sign


TEXT = st.text() | st.text(alphabet="AQab09-_", max_size=60)
ANYTHING = st.none() | st.booleans() | st.integers() | TEXT | st.lists(TEXT, max_size=2)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data(), alg=st.sampled_from(sorted(KINDS)))
def test_any_change(jwks: Mapping[str, dict[str, Any]], data: st.DataObject, alg: str) -> None:
    """Whatever stands in any member, the key is taken or refused with a JwkError that shows no secret."""
    member = data.draw(st.sampled_from(sorted({*jwks[alg], "use", "key_ops", "crv", "d"})))
    jwk = jwks[alg] | {member: data.draw(ANYTHING)}
    try:
        read_key(jwk)
    except JwkError:
        refusal(jwk)
