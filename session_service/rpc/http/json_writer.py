"""Messages to JSON, by what is compiled of a descriptor at start.

As Envoy's transcoder prints them with ``preserve_proto_field_names`` and ``always_print_primitive_fields``:
the names are the contract's, and a field that cannot be absent is always there.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from session_service.rpc.http.json_scalars import (
    DURATION,
    TIMESTAMP,
    Write,
    key_writer,
    scalar_writer,
    write_duration,
    write_timestamp,
)

_WELL_KNOWN: Final[dict[str, Write]] = {TIMESTAMP: write_timestamp, DURATION: write_duration}


class JsonWriter:
    """Writes the messages of one type.

    Args:
        kind: the type.
        known: writers of other types, those of its fields among them; this one is added.

    Raises:
        NotImplementedError: a field's type is none that the contract has.
    """

    def __init__(self, kind: Descriptor, known: dict[str, JsonWriter] | None = None) -> None:
        known = {} if known is None else known
        known[kind.full_name] = self
        self._fields = [
            (field.name, field.has_presence, f'"{field.name}":', _writer(field, known))
            for field in kind.fields
        ]

    def write(self, message: Message) -> str:
        """The message as JSON, without blanks; text stays as it is, but for what JSON must escape.

        Raises:
            ValueError: a timestamp or a duration is none.
        """
        return "{" + ",".join(self.parts(message)) + "}"

    def parts(self, message: Message) -> list[str]:
        """The same as names with their values."""
        return [
            label + write(getattr(message, name))
            for name, optional, label, write in self._fields
            if not optional or message.HasField(name)
        ]


def _writer(field: FieldDescriptor, known: dict[str, JsonWriter]) -> Write:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return _map_writer(kind, known)
    write = _single(field, known)
    if field.is_repeated:
        return lambda values: "[" + ",".join(map(write, values)) + "]"
    return write


def _single(field: FieldDescriptor, known: dict[str, JsonWriter]) -> Write:
    kind = field.message_type
    if kind is None:
        return scalar_writer(field)
    if kind.full_name in _WELL_KNOWN:
        return _WELL_KNOWN[kind.full_name]
    return (known.get(kind.full_name) or JsonWriter(kind, known)).write


def _map_writer(entry: Descriptor, known: dict[str, JsonWriter]) -> Write:
    key_field, value_field = (entry.fields_by_name[each] for each in ("key", "value"))
    key, value = key_writer(key_field), _single(value_field, known)

    def write(entries: Any) -> str:  # noqa: ANN401 - a map has no type of its own
        return "{" + ",".join(f"{key(each)}:{value(entries[each])}" for each in entries) + "}"

    return write
