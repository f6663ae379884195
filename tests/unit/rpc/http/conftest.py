"""A message with a field of every kind that REST knows, and the contract's own messages."""

from __future__ import annotations

from typing import Any, Final

import pytest
from google.protobuf import duration_pb2, timestamp_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_KIND: Final = FieldDescriptorProto
_SCALARS: Final = {
    "text": _KIND.TYPE_STRING,
    "flag": _KIND.TYPE_BOOL,
    "small": _KIND.TYPE_INT32,
    "large_number": _KIND.TYPE_INT64,
    "natural": _KIND.TYPE_UINT32,
    "large_natural": _KIND.TYPE_UINT64,
    "raw": _KIND.TYPE_BYTES,
}
_MESSAGES: Final = {
    "inner": ".kinds.Kinds.Inner",
    "at": ".google.protobuf.Timestamp",
    "lasts": ".google.protobuf.Duration",
}


@pytest.fixture(scope="session")
def kinds() -> Any:
    """The class of that message."""
    pool = DescriptorPool()
    for known in (timestamp_pb2, duration_pb2):
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
    pool.Add(_file())
    return GetMessageClass(pool.FindMessageTypeByName("kinds.Kinds"))


def _file() -> FileDescriptorProto:
    file = FileDescriptorProto(name="kinds.proto", package="kinds", syntax="proto3")
    file.dependency.extend(["google/protobuf/timestamp.proto", "google/protobuf/duration.proto"])
    colour = file.enum_type.add(name="Colour")
    for number, name in enumerate(("NONE", "RED", "DARK_BLUE")):
        colour.value.add(name=name, number=number)
    message = file.message_type.add(name="Kinds")
    inner = message.nested_type.add(name="Inner")
    _add(inner, "inner_text", type=_KIND.TYPE_STRING)
    _add(inner, "numbers", type=_KIND.TYPE_INT32, label=_KIND.LABEL_REPEATED)
    message.oneof_decl.add(name="choice")
    for name, kind in _SCALARS.items():
        _add(message, name, type=kind)
        _add(message, f"many_{name}", type=kind, label=_KIND.LABEL_REPEATED)
    _add(message, "colour", type=_KIND.TYPE_ENUM, type_name=".kinds.Colour")
    for name, kind_name in _MESSAGES.items():
        for label, each in ((_KIND.LABEL_OPTIONAL, name), (_KIND.LABEL_REPEATED, f"many_{name}")):
            _add(message, each, type=_KIND.TYPE_MESSAGE, type_name=kind_name, label=label)
    _add(message, "chosen_text", type=_KIND.TYPE_STRING, oneof_index=0)
    _add(message, "chosen_inner", type=_KIND.TYPE_MESSAGE, type_name=".kinds.Kinds.Inner", oneof_index=0)
    _add_map(message, "by_text", _KIND.TYPE_STRING, type=_KIND.TYPE_INT32)
    _add_map(message, "by_flag", _KIND.TYPE_BOOL, type=_KIND.TYPE_STRING)
    _add_map(message, "by_number", _KIND.TYPE_INT64, type=_KIND.TYPE_MESSAGE, type_name=".kinds.Kinds.Inner")
    message.oneof_decl.add(name="_maybe")
    _add(message, "maybe", type=_KIND.TYPE_INT32, proto3_optional=True, oneof_index=1)
    return file


def _add(message: DescriptorProto, name: str, **options: Any) -> None:
    options.setdefault("label", _KIND.LABEL_OPTIONAL)
    message.field.add(name=name, number=len(message.field) + 1, **options)


def _add_map(message: DescriptorProto, name: str, key: Any, **value: Any) -> None:
    entry_name = "".join(part.title() for part in name.split("_")) + "Entry"
    entry = message.nested_type.add(name=entry_name)
    entry.options.map_entry = True
    _add(entry, "key", type=key)
    _add(entry, "value", **value)
    type_name = f".kinds.Kinds.{entry_name}"
    _add(message, name, type=_KIND.TYPE_MESSAGE, type_name=type_name, label=_KIND.LABEL_REPEATED)
