# ruff: noqa: INP001 - beside a script, not in a package
"""The contract's messages as JSON schemas, for ``openapi.py``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

Json = dict[str, Any]
Refer = Callable[[str], Json]

_PACKAGE: Final = ".session.v1."
SIZES: Final = {
    FieldDescriptorProto.TYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptorProto.TYPE_UINT32: (0, (1 << 32) - 1),
}
_WELL_KNOWN: Final[dict[str, Json]] = {
    ".google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    ".google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$"},
}
_ERROR_INFO: Final = "type.googleapis.com/google.rpc.ErrorInfo"
FAILURE_SCHEMAS: Final[Json] = {
    "Status": {
        "type": "object",
        "description": "Why a call failed: `google.rpc.Status`.",
        "required": ["code", "message", "details"],
        "properties": {
            "code": {"type": "integer", "description": "The number of the gRPC status code."},
            "message": {"type": "string", "description": "For people; it may change at any time."},
            "details": {
                "type": "array",
                "items": {
                    "anyOf": [
                        {"$ref": "#/components/schemas/ErrorInfo"},
                        {"$ref": "#/components/schemas/BadRequest"},
                        {"$ref": "#/components/schemas/RetryInfo"},
                    ]
                },
            },
        },
    },
    "ErrorInfo": {
        "type": "object",
        "description": "The reason, for programs: a value of ErrorReason without its prefix.",
        "required": ["@type", "reason", "domain"],
        "properties": {
            "@type": {"const": _ERROR_INFO},
            "reason": {"type": "string"},
            "domain": {"const": "session.v1"},
            "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    },
    "BadRequest": {
        "type": "object",
        "description": "Every field that is not valid.",
        "required": ["@type", "field_violations"],
        "properties": {
            "@type": {"const": "type.googleapis.com/google.rpc.BadRequest"},
            "field_violations": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["field", "description"],
                    "properties": {"field": {"type": "string"}, "description": {"type": "string"}},
                },
            },
        },
    },
    "RetryInfo": {
        "type": "object",
        "description": "After which time trying again makes sense.",
        "required": ["@type", "retry_delay"],
        "properties": {
            "@type": {"const": "type.googleapis.com/google.rpc.RetryInfo"},
            "retry_delay": _WELL_KNOWN[".google.protobuf.Duration"],
        },
    },
}


class Contract:
    """The contract with the comments of each of its parts.

    Args:
        files: as ``session.binpb`` has them.
    """

    def __init__(self, files: FileDescriptorSet) -> None:
        self.files = files
        self.messages: dict[str, DescriptorProto] = {}
        self.enums: dict[str, EnumDescriptorProto] = {}
        self.comments: dict[str, str] = {}
        self.methods: dict[str, tuple[str, str]] = {}
        """For each method's path in gRPC, the messages that it takes and answers with."""
        for file in files.file:
            if file.package == _PACKAGE.strip("."):
                self._add(file)

    def _add(self, file: FileDescriptorProto) -> None:
        texts = {
            tuple(place.path): _text(place.leading_comments)
            for place in file.source_code_info.location
            if place.leading_comments
        }
        for number, message in enumerate(file.message_type):
            name = _PACKAGE + message.name
            self.messages[name] = message
            self.comments[name] = texts.get((4, number), "")
            for place, field in enumerate(message.field):
                self.comments[f"{name}.{field.name}"] = texts.get((4, number, 2, place), "")
        for number, enum in enumerate(file.enum_type):
            self.enums[_PACKAGE + enum.name] = enum
            self.comments[_PACKAGE + enum.name] = texts.get((5, number), "")
        for number, service in enumerate(file.service):
            name = f"{file.package}.{service.name}"
            self.comments[name] = texts.get((6, number), "")
            for place, method in enumerate(service.method):
                path = f"/{name}/{method.name}"
                self.comments[path] = texts.get((6, number, 2, place), "")
                self.methods[path] = (method.input_type, method.output_type)


class Schemas:
    """The schemas of messages, made when referred to."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self.found: Json = {}

    def answer(self, name: str) -> Json:
        """Refer to a message that is sent: its fields are all there, but for messages that are not set."""
        return self._reference(name, short(name), self._answer)

    def question(self, name: str, left_out: tuple[str, ...]) -> Json:
        """Refer to a message that is received: no field need be there, and null is as if it was not.

        Args:
            name: of the message.
            left_out: fields that the path sets.
        """
        title = short(name) + ("Body" if left_out else "")
        return self._reference(name, title, lambda each: self._question(each, left_out))

    def _reference(self, name: str, title: str, make: Refer) -> Json:
        if title not in self.found:
            self.found[title] = {}
            self.found[title] = make(name)
        return {"$ref": f"#/components/schemas/{title}"}

    def _answer(self, name: str) -> Json:
        message = self._contract.messages[name]
        required = [field.name for field in message.field if not _optional(field)]
        fields = {field.name: self._field(name, field, self.answer) for field in message.field}
        return self._object(name, fields) | ({"required": required} if required else {})

    def _question(self, name: str, left_out: tuple[str, ...]) -> Json:
        fields: Json = {}
        for field in self._contract.messages[name].field:
            if field.name not in left_out:
                schema = self._field(name, field, lambda each: self.question(each, ()))
                text = schema.pop("description", "")
                fields[field.name] = {"anyOf": [schema, {"type": "null"}], "description": text}
        return self._object(name, fields) | {"additionalProperties": False} | self._oneofs(name)

    def _oneofs(self, name: str) -> Json:
        """That only one of some fields may be there."""
        message = self._contract.messages[name]
        groups: list[list[str]] = [[] for _ in message.oneof_decl]
        for field in message.field:
            if field.HasField("oneof_index"):
                groups[field.oneof_index].append(field.name)
        both = [
            {"required": group, "properties": {each: {"not": {"type": "null"}} for each in group}}
            for group in groups
            if len(group) > 1
        ]
        return {"not": {"anyOf": both}} if both else {}

    def _object(self, name: str, fields: Json) -> Json:
        return {"type": "object", "description": self._contract.comments[name], "properties": fields}

    def _field(self, name: str, field: FieldDescriptorProto, refer: Refer) -> Json:
        single = self._single(field, refer)
        listed = field.label == FieldDescriptorProto.LABEL_REPEATED
        schema = {"type": "array", "items": single} if listed else dict(single)
        return schema | {"description": self._contract.comments[f"{name}.{field.name}"]}

    def _single(self, field: FieldDescriptorProto, refer: Refer) -> Json:
        if field.type_name in _WELL_KNOWN:
            return _WELL_KNOWN[field.type_name]
        if field.type_name in self._contract.enums:
            names = [value.name for value in self._contract.enums[field.type_name].value]
            return {"type": "string", "enum": names}
        if field.type_name:
            return refer(field.type_name)
        if field.type in SIZES:
            low, high = SIZES[field.type]
            return {"type": "integer", "format": "int32", "minimum": low, "maximum": high}
        if field.type == FieldDescriptorProto.TYPE_INT64:
            return {"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"}
        return {"type": "boolean" if field.type == FieldDescriptorProto.TYPE_BOOL else "string"}


def _optional(field: FieldDescriptorProto) -> bool:
    """Whether a field may be absent from an answer."""
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return False
    return field.type == FieldDescriptorProto.TYPE_MESSAGE or field.HasField("oneof_index")


def short(name: str) -> str:
    """A name without its package."""
    return name.rpartition(".")[2]


def _text(comment: str) -> str:
    """A comment's paragraphs, each line without the blank after the slashes."""
    return re.sub(r"(?m)^ ", "", comment).strip()
