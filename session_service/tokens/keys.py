"""The key ring: which keys sign, which still verify.

A key file is a JSON document of two JWK sets (RFC 7517 §5)::

    {"access": {"keys": [JWK, ...]}, "refresh": {"keys": [JWK, ...]}}

In each set the first key signs and all verify. ``access`` takes any algorithm of ``algorithms.KINDS``;
``refresh`` takes HS256, since only this service ever reads a refresh token.

The mode of the file is not checked: secrets mounted into a container are often 0444, and who can
reach them there is not told by their mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from session_service.tokens import strict_json
from session_service.tokens.jwk import JwkError, Key, kid_of, new_key, read_key

__all__ = [
    "KeyRing",
    "KeyRingError",
    "Purpose",
    "load_key_ring",
    "new_document",
    "new_key",
    "prepend",
    "read_document",
]

Purpose = Literal["access", "refresh"]


class KeyRingError(ValueError):
    """Keys that cannot be used: names the entry and the member, never key material."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys in use, checked; of each kind the first signs and all verify."""

    access: tuple[Key, ...]
    refresh: tuple[Key, ...]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> KeyRing:
        """Check a key file's content.

        Raises:
            KeyRingError: as ``access.keys[1] (kid "2026-02"): "crv" must be ...``.
        """
        if set(document) != {"access", "refresh"}:
            raise KeyRingError('the key document must have exactly "access" and "refresh"')
        ring = cls(_read_set(document, "access"), _read_set(document, "refresh"))
        _check_distinct(ring)
        return ring


def load_key_ring(path: Path) -> KeyRing:
    """Read and check a key file.

    Raises:
        KeyRingError: the file cannot be read, is not JSON, or holds a key that cannot be used.
    """
    document = read_document(path)
    try:
        return KeyRing.from_document(document)
    except KeyRingError as error:
        raise KeyRingError(f"the key file {path}: {error}") from None


def read_document(path: Path) -> dict[str, Any]:
    """Read a key file without looking at its keys.

    Raises:
        KeyRingError: the file cannot be read, or is not a JSON object.
    """
    try:
        return strict_json.read_object(path.read_bytes())
    except OSError as error:
        raise KeyRingError(f"cannot read the key file {path}: {error.strerror}") from None
    except ValueError as error:
        raise KeyRingError(f"the key file {path} is not usable JSON: {error}") from None


def new_document(alg: str) -> dict[str, Any]:
    """The content of a new key file.

    Args:
        alg: the access key's algorithm.

    Raises:
        JwkError: it is not one of ours.
    """
    return {"access": {"keys": [new_key(alg)]}, "refresh": {"keys": [new_key("HS256")]}}


def prepend(document: Mapping[str, Any], purpose: Purpose, jwk: Mapping[str, Any]) -> dict[str, Any]:
    """The document with one more key, which signs from now on; the others go on verifying.

    Where several servers share the document, let the key verify on all of them, as a later entry,
    before it signs on any: a server that does not have it yet refuses its tokens.

    Args:
        document: a key file's content; it is not changed.
        purpose: the set that the key goes into.
        jwk: the key, as ``new_key`` makes it.

    Raises:
        KeyRingError: the document or the key cannot be used, or the ``kid`` is taken.
    """
    KeyRing.from_document(document)
    keys = [dict(jwk), *document[purpose]["keys"]]
    rotated = {**document, purpose: {**document[purpose], "keys": keys}}
    KeyRing.from_document(rotated)
    return rotated


def _read_set(document: Mapping[str, Any], purpose: Purpose) -> tuple[Key, ...]:
    jwk_set = document[purpose]
    entries = jwk_set.get("keys") if isinstance(jwk_set, Mapping) else None
    if not isinstance(entries, list) or not entries:
        raise KeyRingError(f'"{purpose}" must be a JWK set: {{"keys": [at least one JWK]}}')
    keys = tuple(_read_entry(purpose, *entry) for entry in enumerate(entries))
    if not keys[0].can_sign:
        problem = 'the first key signs: it must be private, and "key_ops" must have "sign" if given'
        raise KeyRingError(f"{_place(purpose, 0, keys[0].kid)}: {problem}")
    return keys


def _read_entry(purpose: Purpose, position: int, entry: object) -> Key:
    try:
        if not isinstance(entry, Mapping):
            raise JwkError("must be a JSON object")
        key = read_key(entry)
        if purpose == "refresh" and key.alg != "HS256":
            raise JwkError('"alg" must be HS256')
    except JwkError as error:
        raise KeyRingError(f"{_place(purpose, position, kid_of(entry))}: {error}") from None
    return key


def _check_distinct(ring: KeyRing) -> None:
    """A key with a second entry would outlive the removal of the first, or serve two purposes."""
    access = [("access", _place("access", at, key.kid), key) for at, key in enumerate(ring.access)]
    refresh = [("refresh", _place("refresh", at, key.kid), key) for at, key in enumerate(ring.refresh)]
    for (purpose, place, key), (other_purpose, other_place, other) in combinations(access + refresh, 2):
        if key.same_as(other):
            raise KeyRingError(f"{other_place}: is the same key as {place}")
        if purpose == other_purpose and key.kid == other.kid:
            raise KeyRingError(f'{other_place}: has the same "kid" as {place}')


def _place(purpose: Purpose, position: int, kid: str | None) -> str:
    return f"{purpose}.keys[{position}]" + (f' (kid "{kid}")' if kid else "")
