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
from pathlib import Path
from typing import Any, Literal

from session_service.tokens import strict_json
from session_service.tokens.jwk import JwkError, Key, new_key, read_key, read_kid

__all__ = ["KeyRing", "KeyRingError", "Purpose", "load_key_ring", "new_document", "new_key", "prepend"]

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
        access, refresh = _read_set(document, "access"), _read_set(document, "refresh")
        for position, key in enumerate(refresh):
            if key.alg != "HS256":
                raise _at("refresh", position, key.kid, '"alg" must be HS256')
            if any(_same_secret(key, other) for other in access):
                raise _at("refresh", position, key.kid, '"k" is also the secret of an access key')
        return cls(access, refresh)


def load_key_ring(path: Path) -> KeyRing:
    """Read and check a key file.

    Raises:
        KeyRingError: the file cannot be read, is not JSON, or holds a key that cannot be used.
    """
    try:
        document = strict_json.read_object(path.read_bytes())
    except OSError as error:
        raise KeyRingError(f"cannot read the key file {path}: {error.strerror}") from None
    except ValueError as error:
        raise KeyRingError(f"the key file {path} is not usable JSON: {error}") from None
    try:
        return KeyRing.from_document(document)
    except KeyRingError as error:
        raise KeyRingError(f"the key file {path}: {error}") from None


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
    keys: list[Key] = []
    for position, entry in enumerate(entries):
        key = _read_entry(purpose, position, entry)
        if any(key.kid == other.kid for other in keys):
            raise _at(purpose, position, key.kid, '"kid" is used twice')
        keys.append(key)
    if not keys[0].can_sign:
        raise _at(
            purpose, 0, keys[0].kid, 'the first key signs: it must be private and "key_ops" allow "sign"'
        )
    return tuple(keys)


def _same_secret(one: Key, other: Key) -> bool:
    return one.alg == other.alg == "HS256" and one.verifies(b"", other.sign(b""))


def _read_entry(purpose: Purpose, position: int, entry: object) -> Key:
    if not isinstance(entry, Mapping):
        raise _at(purpose, position, None, "is not a JSON object")
    try:
        return read_key(entry)
    except JwkError as error:
        raise _at(purpose, position, _kid_of(entry), str(error)) from None


def _kid_of(entry: Mapping[str, Any]) -> str | None:
    try:
        return read_kid(entry)
    except JwkError:
        return None


def _at(purpose: Purpose, position: int, kid: str | None, problem: str) -> KeyRingError:
    name = f' (kid "{kid}")' if kid else ""
    return KeyRingError(f"{purpose}.keys[{position}]{name}: {problem}")
