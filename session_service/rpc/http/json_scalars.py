"""Single values of proto3 JSON, both ways: what one field that is no message of ours may hold.

https://protobuf.dev/programming-guides/json. Stricter than ``google.protobuf.json_format`` where that takes
what the format does not have: an enum as a decimal text, as ``true`` or as a fraction; integers as ``"1_0"``,
``"+1"`` or ``"1e3"``; bytes with characters that base64 does not have.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any, Final

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

Read = Callable[[Any], Any]
"""Makes a field's value of what ``json.loads`` gave.

Raises:
    BadValueError: it is no value of the field.
"""
Write = Callable[[Any], str]
"""Makes JSON of a field's value."""

TIMESTAMP: Final = "google.protobuf.Timestamp"
DURATION: Final = "google.protobuf.Duration"
WELL_KNOWN: Final = frozenset({TIMESTAMP, DURATION})

_RANGES: Final = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, (1 << 64) - 1),
}
_INTEGER: Final = re.compile(r"-?[0-9]{1,20}")
_DURATION: Final = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,9})?s")
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_DAY_SECONDS: Final = 86_400
_WHOLE_SECOND: Final = 1_000_000_000
_BASE64_ALPHABET: Final = str.maketrans("-_", "+/")


class BadValueError(Exception):
    """A value does not fit its field.

    Args:
        text: what it must be; never what it is, which may be a password.
        place: names and places of the fields around it, from the innermost out.
    """

    def __init__(self, text: str, *place: str) -> None:
        super().__init__(text)
        self.place = list(place)

    def within(self, name: str) -> BadValueError:
        """The same, seen from one message further out."""
        self.place.append(name)
        return self


def scalar_reader(field: FieldDescriptor) -> Read:
    """What reads one value of a field.

    Raises:
        NotImplementedError: the contract has no such fields, and this does not read them.
    """
    if field.enum_type is not None:
        return _enum_reader(field.enum_type)
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return _read_bytes if field.type == FieldDescriptor.TYPE_BYTES else _read_text
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return _read_bool
    if field.cpp_type in _RANGES:
        return _integer_reader(*_RANGES[field.cpp_type])
    raise NotImplementedError(f"{field.full_name}: its type is not known to REST")


def scalar_writer(field: FieldDescriptor) -> Write:
    """What writes one value of a field; raises as ``scalar_reader``."""
    if field.enum_type is not None:
        names = {value.number: f'"{value.name}"' for value in reversed(field.enum_type.values)}
        return lambda number: names.get(number) or str(number)
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            return _write_bytes if field.type == FieldDescriptor.TYPE_BYTES else encode_basestring
        case FieldDescriptor.CPPTYPE_BOOL:
            return _write_bool
        case FieldDescriptor.CPPTYPE_INT32 | FieldDescriptor.CPPTYPE_UINT32:
            return str
        case FieldDescriptor.CPPTYPE_INT64 | FieldDescriptor.CPPTYPE_UINT64:
            # More than a number of JavaScript holds.
            return '"{}"'.format
    raise NotImplementedError(f"{field.full_name}: its type is not known to REST")


def key_reader(field: FieldDescriptor) -> Read:
    """What reads a key of a map, which is always text."""
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return _read_bool_key
    return scalar_reader(field)


def key_writer(field: FieldDescriptor) -> Write:
    """What writes a key of a map."""
    write = scalar_writer(field)
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return write
    return lambda value: '"' + write(value).strip('"') + '"'


def fill_well_known(message: Message, value: object) -> None:
    """Set a Timestamp or a Duration from its text.

    Raises:
        BadValueError: it is none.
    """
    known: Any = message
    is_timestamp = message.DESCRIPTOR.full_name == TIMESTAMP
    try:
        if type(value) is str and (is_timestamp or _DURATION.fullmatch(value)):
            known.FromJsonString(value)
            return
    except (ValueError, OverflowError):
        pass
    example = "2025-01-31T12:00:00Z" if is_timestamp else "1.5s"
    raise BadValueError(f"must be a text such as {example}")


def write_timestamp(value: Any) -> str:  # noqa: ANN401 - messages have no common type for their fields
    """A Timestamp as RFC 3339 has it, in UTC.

    Raises:
        ValueError: it is outside of the years 1 to 9999.
    """
    days, second = divmod(value.seconds, _DAY_SECONDS)
    minute, second = divmod(second, 60)
    return f'"{_day(days)}T{minute // 60:02}:{minute % 60:02}:{second:02}{_fraction(value.nanos)}Z"'


def write_duration(value: Any) -> str:  # noqa: ANN401 - as above
    """A Duration in seconds.

    Raises:
        ValueError: it is none.
    """
    return f'"{value.ToJsonString()}"'


@lru_cache(maxsize=64)
def _day(days: int) -> str:
    try:
        return date.fromordinal(_EPOCH_ORDINAL + days).isoformat()
    except (OverflowError, ValueError) as error:
        raise ValueError("a timestamp is outside of the years 1 to 9999") from error


def _fraction(nanos: int) -> str:
    """Of a second: none, or three, six or nine digits."""
    if not 0 <= nanos < _WHOLE_SECOND:
        raise ValueError("a timestamp's nanos are not within a second")
    if not nanos:
        return ""
    digits = f"{nanos:09}"
    if digits.endswith("000000"):
        return f".{digits[:3]}"
    return f".{digits[:6]}" if digits.endswith("000") else f".{digits}"


def _read_text(value: object) -> str:
    if type(value) is not str:
        raise BadValueError("must be a text")
    return value


def _read_bool(value: object) -> bool:
    if type(value) is not bool:
        raise BadValueError("must be true or false")
    return value


def _read_bool_key(value: object) -> bool:
    if value not in {"true", "false"}:
        raise BadValueError("must be true or false")
    return value == "true"


def _integer_reader(least: int, most: int) -> Read:
    text = f"must be a whole number, {least} to {most}"

    def read(value: Any) -> int:  # noqa: ANN401 - what JSON holds
        whole = type(value) is float and value.is_integer()
        if whole or (type(value) is str and _INTEGER.fullmatch(value)):
            value = int(value)
        if type(value) is not int or not least <= value <= most:
            raise BadValueError(text)
        return value

    return read


def _enum_reader(enum: EnumDescriptor) -> Read:
    numbers = {value.name: value.number for value in enum.values}

    def read(value: object) -> int:
        number = numbers.get(value) if type(value) is str else value
        if type(number) is not int or not -(1 << 31) <= number < 1 << 31:
            raise BadValueError(f"must be one of {enum.name}")
        return number

    return read


def _read_bytes(value: object) -> bytes:
    if type(value) is str:
        text = value.translate(_BASE64_ALPHABET).rstrip("=")
        try:
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            pass
    raise BadValueError("must be base64")


def _write_bool(value: bool) -> str:
    return "true" if value else "false"


def _write_bytes(value: bytes) -> str:
    return '"' + base64.b64encode(value).decode() + '"'
