"""The rich error details of a failed call, read and written: ``google.rpc.Status`` in its trailing metadata.

The messages are declared here, in a descriptor pool of their own, with the field numbers of
google/rpc/status.proto and google/rpc/error_details.proto. So the client does without the
googleapis-common-protos package, and does not collide with it where it is loaded: the default
pool refuses a second file that declares the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final, TypeAlias

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from session_client._errors import FieldViolation

DETAILS_KEY: Final = "grpc-status-details-bin"
ERROR_DOMAIN: Final = "session.v1"

# Their classes are made below at run time, so no type says what fields they have.
_Message: TypeAlias = Any
_Fields: TypeAlias = dict[str, Any]

_SCALARS: Final = {
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
}
# Message → fields in the order of their numbers, from 1 on; `*` marks a repeated one. A map is on
# the wire a repeated message of key and value.
_DECLARATIONS: Final = {
    "Any": ("string type_url", "bytes value"),
    "Duration": ("int64 seconds", "int32 nanos"),
    "Entry": ("string key", "string value"),
    "Violation": ("string field", "string description"),
    "Status": ("int32 code", "string message", "Any* details"),
    "ErrorInfo": ("string reason", "string domain", "Entry* metadata"),
    "RetryInfo": ("Duration retry_delay",),
    "BadRequest": ("Violation* field_violations",),
}


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """What the service says of a failure; empty where it says nothing."""

    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    retry_after: timedelta | None = None
    violations: tuple[FieldViolation, ...] = ()


def error_details(trailers: Iterable[tuple[str, str | bytes]]) -> ErrorDetails:
    """The details in a failed call's trailing metadata; what cannot be read counts as not there."""
    for key, value in trailers:
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return _decode(value)
            except (DecodeError, OverflowError):
                break
    return ErrorDetails()


def details_trailer(
    code: int, message: str, reason: str, metadata: Mapping[str, str], retry_after: timedelta | None
) -> tuple[str, bytes]:
    """The trailing metadata that tells a caller of a failure as the service itself would.

    Args:
        code: number of the gRPC status code.
        message: as in the call's status.
        reason: of the ``ErrorInfo``, with the service's domain.
        metadata: of the ``ErrorInfo``.
        retry_after: of a ``RetryInfo``; ``None`` = there is none.
    """
    entries = [_MESSAGES["Entry"](key=key, value=value) for key, value in metadata.items()]
    details = {"ErrorInfo": {"reason": reason, "domain": ERROR_DOMAIN, "metadata": entries}}
    if retry_after is not None:
        seconds, rest = divmod(retry_after, timedelta(seconds=1))
        delay = _MESSAGES["Duration"](seconds=seconds, nanos=rest.microseconds * 1000)
        details["RetryInfo"] = {"retry_delay": delay}
    packed = [
        _MESSAGES["Any"](
            type_url=f"type.googleapis.com/google.rpc.{name}",
            value=_MESSAGES[name](**fields).SerializeToString(),
        )
        for name, fields in details.items()
    ]
    status = _MESSAGES["Status"](code=code, message=message, details=packed)
    return DETAILS_KEY, status.SerializeToString()


def _decode(serialized: bytes) -> ErrorDetails:
    details = ErrorDetails()
    for packed in _MESSAGES["Status"].FromString(serialized).details:
        name = packed.type_url.rpartition("/google.rpc.")[2]
        if name in _READERS:
            details = replace(details, **_READERS[name](_MESSAGES[name].FromString(packed.value)))
    return details


def _error_info(info: _Message) -> _Fields:
    if info.domain != ERROR_DOMAIN:
        return {}
    return {"reason": info.reason, "metadata": {entry.key: entry.value for entry in info.metadata}}


def _retry_info(retry: _Message) -> _Fields:
    delay = retry.retry_delay
    return {"retry_after": timedelta(seconds=delay.seconds, microseconds=delay.nanos // 1000)}


def _bad_request(bad_request: _Message) -> _Fields:
    violations = (FieldViolation(one.field, one.description) for one in bad_request.field_violations)
    return {"violations": tuple(violations)}


_READERS: Final[dict[str, Callable[[_Message], _Fields]]] = {
    "ErrorInfo": _error_info,
    "RetryInfo": _retry_info,
    "BadRequest": _bad_request,
}


def _declared(name: str, fields: tuple[str, ...]) -> DescriptorProto:
    message = DescriptorProto(name=name)
    for number, declaration in enumerate(fields, start=1):
        kind, field_name = declaration.split()
        label = FieldDescriptorProto.LABEL_REPEATED if "*" in kind else FieldDescriptorProto.LABEL_OPTIONAL
        added = message.field.add(name=field_name, number=number, label=label)
        if kind in _SCALARS:
            added.type = _SCALARS[kind]
        else:
            added.type_name = f".{kind.rstrip('*')}"
    return message


def _message_classes() -> dict[str, Any]:
    declared = [_declared(name, fields) for name, fields in _DECLARATIONS.items()]
    pool = DescriptorPool()
    pool.Add(FileDescriptorProto(name="rich_status.proto", syntax="proto3", message_type=declared))
    return {name: GetMessageClass(pool.FindMessageTypeByName(name)) for name in _DECLARATIONS}


_MESSAGES: Final = _message_classes()
