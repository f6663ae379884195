"""JSON to messages, by what is compiled of a descriptor at start.

Nothing of a body is ever quoted: whoever logs errors would log passwords. What is wrong is named by the
contract's names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from session_service.domain.errors import FieldViolation, InvalidArgument
from session_service.rpc.http.json_scalars import (
    WELL_KNOWN,
    BadValueError,
    Read,
    fill_well_known,
    key_reader,
    scalar_reader,
)

_BODY: Final = "body"
_NOT_JSON: Final = "must be one JSON object in UTF-8, without a name twice in one object and nothing after it"

_Store = Callable[[Message, Any], None]
_Fill = Callable[[Message, object], None]


@dataclass(frozen=True, slots=True)
class _Field:
    """What is done with one name of a JSON object."""

    name: str
    oneof: str | None
    store: _Store


class JsonReader:
    """Reads the messages of one type.

    Args:
        kind: the type.
        known: readers of other types, those of its fields among them; this one is added.

    Raises:
        NotImplementedError: a field's type is none that the contract has.
    """

    def __init__(self, kind: Descriptor, known: dict[str, JsonReader] | None = None) -> None:
        known = {} if known is None else known
        known[kind.full_name] = self
        self._unknown = f"has a name that {kind.name} does not have"
        self._fields: dict[str, _Field] = {}
        for field in kind.fields:
            oneof = field.containing_oneof.name if field.containing_oneof else None
            found = _Field(field.name, oneof, _store(field, known))
            self._fields[field.name] = self._fields[field.json_name] = found

    def read(self, body: bytes, message: Message, *, fixed: Collection[str] = ()) -> None:
        """Fill a message from a body.

        Args:
            body: UTF-8; empty = as ``{}``.
            message: new.
            fixed: names of fields that the body must not set, since the path sets them.

        Raises:
            InvalidArgument: the body is no JSON object, or does not fit the message; it names the field.
        """
        if not body:
            return
        try:
            found = _parsed(body)
            if fixed:
                self._check(found, fixed)
            self.fill(message, found)
        except BadValueError as error:
            raise InvalidArgument(FieldViolation(_path(error.place), str(error))) from None

    def fill(self, message: Message, value: object) -> None:
        """Fill a message from an object.

        Raises:
            BadValueError: it does not fit.
        """
        if type(value) is not dict:
            raise BadValueError("must be a JSON object")
        seen: set[str] = set()
        for name, each in value.items():
            field = self._fields.get(name)
            if field is None:
                raise BadValueError(self._unknown)
            if field.name in seen:
                raise BadValueError("is there twice", field.name)
            seen.add(field.name)
            if each is None:
                continue
            if field.oneof is not None:
                if field.oneof in seen:
                    raise BadValueError("has a value, and so has another of which only one may", field.name)
                seen.add(field.oneof)
            try:
                field.store(message, each)
            except BadValueError as error:
                raise error.within(field.name) from None
            except UnicodeEncodeError:
                raise BadValueError("must be text that UTF-8 can hold", field.name) from None

    def set(self, message: Message, name: str, text: str) -> None:
        """Set a field of a scalar type from a path or a query.

        Raises:
            InvalidArgument: it does not fit; it names the field.
        """
        try:
            self.fill(message, {name: text})
        except BadValueError as error:
            raise InvalidArgument(FieldViolation(name, str(error))) from None

    def _check(self, value: object, fixed: Collection[str]) -> None:
        for name in value if isinstance(value, dict) else ():
            field = self._fields.get(name)
            if field is not None and field.name in fixed:
                raise BadValueError("is in the path, and must not be in the body too", field.name)


def _parsed(body: bytes) -> object:
    """What a body says.

    Raises:
        BadValueError: it is no JSON as RFC 8259 has it, a name comes twice, or it is nested too deeply.
    """
    try:
        return _DECODER.decode(body.decode())
    except (ValueError, RecursionError):
        raise BadValueError(_NOT_JSON) from None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found


def _no_number(_: str) -> NoReturn:
    raise ValueError("NaN and infinity are no JSON")


# Made once: `json.loads` makes one a call where it is given hooks.
_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_number)


def _path(place: Sequence[str]) -> str:
    """Such as ``device.name`` or ``tokens[3]``; the body where it is nowhere in it."""
    return ".".join(reversed(place)).replace(".[", "[") or _BODY


def _store(field: FieldDescriptor, known: dict[str, JsonReader]) -> _Store:
    """What puts a value into its field."""
    name = field.name
    if field.message_type is None:
        read = scalar_reader(field)
        if field.is_repeated:
            return _scalars_store(name, read)
        return lambda message, value: setattr(message, name, read(value))
    if field.message_type.GetOptions().map_entry:
        return _map_store(name, field.message_type, known)
    fill = _filler(field.message_type, known)
    if field.is_repeated:
        return _messages_store(name, fill)

    def store(message: Message, value: object) -> None:
        inner: Message = getattr(message, name)
        inner.SetInParent()
        fill(inner, value)

    return store


def _filler(kind: Descriptor, known: dict[str, JsonReader]) -> _Fill:
    if kind.full_name in WELL_KNOWN:
        return fill_well_known
    return (known.get(kind.full_name) or JsonReader(kind, known)).fill


def _scalars_store(name: str, read: Read) -> _Store:
    def store(message: Message, value: object) -> None:
        found: list[object] = []
        for each in _listed(value):
            try:
                found.append(read(each))
            except BadValueError as error:
                raise error.within(f"[{len(found)}]") from None
        getattr(message, name).extend(found)

    return store


def _messages_store(name: str, fill: _Fill) -> _Store:
    def store(message: Message, value: object) -> None:
        items = getattr(message, name)
        for place, each in enumerate(_listed(value)):
            try:
                fill(items.add(), each)
            except BadValueError as error:
                raise error.within(f"[{place}]") from None

    return store


def _map_store(name: str, entry: Descriptor, known: dict[str, JsonReader]) -> _Store:
    key_field, value_field = (entry.fields_by_name[each] for each in ("key", "value"))
    read_key = key_reader(key_field)
    fill = None if value_field.message_type is None else _filler(value_field.message_type, known)
    read = scalar_reader(value_field) if fill is None else None

    def store(message: Message, value: object) -> None:
        if type(value) is not dict:
            raise BadValueError("must be a JSON object")
        entries = getattr(message, name)
        for text, each in value.items():
            key = read_key(text)
            if key in entries:
                raise BadValueError("has a key twice")
            if read is not None:
                entries[key] = read(each)
            elif fill is not None:
                fill(entries[key], each)

    return store


def _listed(value: object) -> list[object]:
    if type(value) is not list:
        raise BadValueError("must be a list")
    return value
