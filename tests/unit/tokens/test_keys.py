"""The key ring: a document is taken whole or refused by the entry that is wrong, showing no secret."""

from __future__ import annotations

import copy
import json
import traceback
from pprint import pformat
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis.vendor.pretty import pretty
from rich.pretty import pretty_repr

from session_service.tokens.algorithms import KINDS
from session_service.tokens.jwk import JwkError
from session_service.tokens.keys import KeyRing, KeyRingError, load_key_ring, new_document, new_key, prepend
from tests.support.tokens import base64url, unbase64url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


@pytest.fixture
def document(jwks: Mapping[str, dict[str, Any]], refresh_jwk: dict[str, Any]) -> dict[str, Any]:
    """A document with four access keys and a refresh key, to be changed at will."""
    return copy.deepcopy({"access": {"keys": [*jwks.values()]}, "refresh": {"keys": [refresh_jwk]}})


def secrets_of(document: object) -> list[str]:
    """Every private member anywhere in the document."""
    if isinstance(document, dict):
        named = [str(document[name]) for name in ("k", "d", "p", "q") if len(str(document.get(name, ""))) > 8]
        return named + [secret for value in document.values() for secret in secrets_of(value)]
    return (
        [secret for value in document for secret in secrets_of(value)] if isinstance(document, list) else []
    )


def refusal(document: dict[str, Any]) -> str:
    """Why the document is refused; fails if it is not, or if any secret shows."""
    with pytest.raises(KeyRingError) as refused:
        KeyRing.from_document(document)
    shown = "".join(traceback.format_exception(refused.value))
    assert not [secret for secret in secrets_of(document) if secret in shown]
    return str(refused.value)


def test_first_signs(document: dict[str, Any]) -> None:
    """The ring keeps the order of the document, and the first of each set can sign."""
    ring = KeyRing.from_document(document)
    assert [key.kid for key in ring.access] == ["hs256", "eddsa", "es256", "rs256"]
    assert [key.kid for key in ring.refresh] == ["refresh-1"]
    assert ring.access[0].can_sign


def test_repr_shows_no_secret(document: dict[str, Any]) -> None:
    """A ring prints ids and algorithms only, whoever prints it."""
    ring = KeyRing.from_document(document)
    raw = [repr(unbase64url(secret))[2:-1] for secret in secrets_of(document)]
    for shown in (repr(ring), str(ring), pformat(ring), pretty(ring), pretty_repr(ring)):
        assert "hs256" in shown
        assert not [secret for secret in secrets_of(document) + raw if secret in shown]


def test_sets_are_required(document: dict[str, Any]) -> None:
    """A document has the two sets and nothing else."""
    exactly = 'the key document must have exactly "access" and "refresh"'
    assert refusal({}) == exactly
    assert refusal({"access": document["access"]}) == exactly
    assert refusal(document | {"acess": {}}) == exactly
    sets: list[object] = [None, [], {}, {"keys": []}, {"keys": {}}, {"keys": "x"}, {"keys": None}, [{}]]
    for wrong in sets:
        assert refusal(document | {"access": wrong}).startswith('"access" must be a JWK set')
        assert refusal(document | {"refresh": wrong}).startswith('"refresh" must be a JWK set')


def test_names_the_entry(document: dict[str, Any]) -> None:
    """A wrong entry is named by set, position, id and member."""
    document["access"]["keys"][2]["crv"] = "P-384"
    assert refusal(document) == 'access.keys[2] (kid "es256"): "crv" must be "P-256" for this "alg"'


def test_names_an_entry_without_id(document: dict[str, Any]) -> None:
    """An entry whose id is missing or of another form is named by its position alone."""
    problem = '"kid" must be 1 to 64 characters of A-Z a-z 0-9 _ -'
    del document["access"]["keys"][1]["kid"]
    assert refusal(document) == f"access.keys[1]: {problem}"
    document["access"]["keys"][1]["kid"] = "a secret, by mistake"
    assert refusal(document) == f"access.keys[1]: {problem}"


@pytest.mark.parametrize("entry", [None, 1, "text", [], True])
def test_entry_of_another_type(document: dict[str, Any], entry: object) -> None:
    """An entry that is no object is named by its position."""
    document["refresh"]["keys"].append(entry)
    assert refusal(document) == "refresh.keys[1]: must be a JSON object"


def test_short_secret(document: dict[str, Any]) -> None:
    """A secret that is too short is refused and not shown."""
    document["refresh"]["keys"][0]["k"] = base64url(b"sixteen bytes...")
    assert refusal(document) == 'refresh.keys[0] (kid "refresh-1"): "k" must have at least 32 bytes'


def test_repeated_kid(document: dict[str, Any]) -> None:
    """Two keys of one set cannot share an id; an access and a refresh key may."""
    document["refresh"]["keys"][0]["kid"] = "hs256"
    KeyRing.from_document(document)
    document["access"]["keys"][3]["kid"] = "hs256"
    problem = 'access.keys[3] (kid "hs256"): has the same "kid" as access.keys[0] (kid "hs256")'
    assert refusal(document) == problem


@pytest.mark.parametrize("alg", KINDS)
def test_repeated_key(document: dict[str, Any], jwks: Mapping[str, dict[str, Any]], alg: str) -> None:
    """A key under a second id is refused: removing the first would not end it."""
    document["access"]["keys"].append(jwks[alg] | {"kid": "again"})
    assert refusal(document).startswith('access.keys[4] (kid "again"): is the same key as access.keys[')


def test_one_secret_for_two_purposes(document: dict[str, Any], jwks: Mapping[str, dict[str, Any]]) -> None:
    """A secret of access tokens is not one of refresh tokens as well (RFC 8725 §3.12)."""
    document["refresh"]["keys"].append(jwks["HS256"] | {"kid": "again"})
    problem = 'refresh.keys[1] (kid "again"): is the same key as access.keys[0] (kid "hs256")'
    assert refusal(document) == problem


def test_refresh_takes_hs256(document: dict[str, Any]) -> None:
    """A refresh key is an HMAC secret."""
    document["refresh"]["keys"].append(new_key("EdDSA") | {"kid": "eddsa"})
    assert refusal(document) == 'refresh.keys[1] (kid "eddsa"): "alg" must be HS256'


def test_first_key_can_sign(document: dict[str, Any]) -> None:
    """A public key, or one that may not sign, cannot come first."""
    del document["access"]["keys"][1]["d"]
    KeyRing.from_document(document)
    document["access"]["keys"].pop(0)
    assert refusal(document).startswith('access.keys[0] (kid "eddsa"): the first key signs')
    document["access"]["keys"].pop(0)
    document["refresh"]["keys"][0]["key_ops"] = ["verify"]
    assert refusal(document).startswith('refresh.keys[0] (kid "refresh-1"): the first key signs')


@pytest.mark.parametrize("alg", KINDS)
def test_new_document(alg: str, tmp_path: Path) -> None:
    """A new document, written to a file, is read as a ring that signs with the algorithm asked for."""
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(new_document(alg)))
    ring = load_key_ring(path)
    assert [key.alg for key in ring.access] == [alg]
    assert [key.alg for key in ring.refresh] == ["HS256"]


def test_new_document_of_another_algorithm() -> None:
    """An algorithm that is not one of ours is refused."""
    with pytest.raises(JwkError, match="HS256, EdDSA, ES256, RS256"):
        new_document("RS512")


def test_prepend(document: dict[str, Any]) -> None:
    """A prepended key signs, the others go on verifying, and the document given is as it was."""
    before = copy.deepcopy(document)
    access, refresh = new_key("ES256"), new_key("HS256")
    rotated = prepend(prepend(document, "access", access), "refresh", refresh)
    ring = KeyRing.from_document(rotated)
    assert [key.kid for key in ring.access] == [access["kid"], "hs256", "eddsa", "es256", "rs256"]
    assert [key.kid for key in ring.refresh] == [refresh["kid"], "refresh-1"]
    assert document == before


def test_prepend_refuses(document: dict[str, Any], jwks: Mapping[str, dict[str, Any]]) -> None:
    """A key that is there already, cannot be used, or a document that is wrong, is refused."""
    with pytest.raises(KeyRingError, match="same key"):
        prepend(document, "access", jwks["RS256"] | {"kid": "again"})
    with pytest.raises(KeyRingError, match='"alg"'):
        prepend(document, "refresh", new_key("EdDSA"))
    with pytest.raises(KeyRingError, match="exactly"):
        prepend({}, "access", new_key("EdDSA"))


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file, and a folder, are refused by path and reason."""
    with pytest.raises(KeyRingError, match=r"cannot read the key file .*keys\.json: No such file"):
        load_key_ring(tmp_path / "keys.json")
    with pytest.raises(KeyRingError, match="Is a directory"):
        load_key_ring(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-1],
        lambda text: text + text,
        lambda text: text.replace('"', "'"),
        lambda text: text.replace("}", ",}", 1),
        lambda text: "[" + text + "]",
        lambda text: text.replace('"k"', '"k":"' + "A" * 43 + '","k"', 1),
        lambda text: "\ufeff" + text,
        lambda text: text[:0],
    ],
)
def test_file_that_is_not_json(
    tmp_path: Path, document: dict[str, Any], change: Callable[[str], str]
) -> None:
    """A broken file is refused by path and place, quoting nothing of it."""
    path = tmp_path / "keys.json"
    path.write_text(change(json.dumps(document)))
    with pytest.raises(KeyRingError, match=r"the key file .*keys\.json is not usable JSON") as refused:
        load_key_ring(path)
    shown = "".join(traceback.format_exception(refused.value))
    assert not [secret for secret in secrets_of(document) if secret in shown]


def test_file_with_a_wrong_entry(tmp_path: Path, document: dict[str, Any]) -> None:
    """A wrong entry of a file is named with the file."""
    document["access"]["keys"][0]["use"] = "enc"
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(document))
    with pytest.raises(KeyRingError) as refused:
        load_key_ring(path)
    assert (
        str(refused.value)
        == f'the key file {path}: access.keys[0] (kid "hs256"): "use" must be "sig" if given'
    )
    assert isinstance(refused.value, ValueError)
