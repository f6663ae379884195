"""Metadata between HTTP header fields and gRPC's pairs, and time-outs in them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from typing import Final

from session_service.rpc.refusals import MalformedError

Field = tuple[bytes, bytes]
Pair = tuple[str, str | bytes]

# Header fields of the protocol itself, which are no metadata of the call.
_OF_THE_PROTOCOL: Final = frozenset(
    {b"host", b"te", b"content-type", b"content-length", b"transfer-encoding"}
)
_UNITS: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_LONGEST_TIMEOUT: Final = 9


def metadata_of(fields: Iterable[Field]) -> Iterator[Pair]:
    """The pairs that a call's header fields carry; values of keys in ``-bin`` as bytes.

    Raises:
        MalformedError: such a value is no base64.
    """
    for name, value in fields:
        if name in _OF_THE_PROTOCOL or name.startswith(b"grpc-"):
            continue
        key = name.decode("latin-1")
        if not key.endswith("-bin"):
            yield key, value.decode("latin-1")
            continue
        # HTTP may have joined several fields of one name.
        for part in value.split(b","):
            yield key, _unpacked(part.strip())


def fields_of(pairs: Iterable[Pair]) -> list[Field]:
    """Metadata as header fields; bytes in base64 without padding."""
    return [
        (
            key.encode("latin-1"),
            base64.b64encode(value).rstrip(b"=") if isinstance(value, bytes) else value.encode("latin-1"),
        )
        for key, value in pairs
    ]


def seconds_of(timeout: bytes) -> float:
    """What ``grpc-timeout`` says, such as ``200m``, in seconds.

    Raises:
        MalformedError: it is no time-out.
    """
    text = timeout.decode("latin-1")
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not (number.isascii() and number.isdigit()) or len(text) > _LONGEST_TIMEOUT:
        raise MalformedError("metadata", "grpc-timeout must be up to eight digits and one of HMSmun")
    return int(number) * _UNITS[unit]


def _unpacked(value: bytes) -> bytes:
    try:
        return base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except binascii.Error as error:
        raise MalformedError("metadata", "metadata in -bin must be base64") from error
