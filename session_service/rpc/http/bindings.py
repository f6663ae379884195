"""The HTTP paths of the methods, as the protos' ``google.api.http`` annotations bind them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet

_VERBS: Final = ("get", "post", "delete", "put", "patch")
_TEMPLATE: Final = re.compile(r"(?:/(?:[a-z0-9_.-]+|\{[a-z_]+\}))+(?::[A-Za-z-]+)?")


@dataclass(frozen=True, slots=True)
class Binding:
    """One path of one method.

    Args:
        method: the method's path in gRPC: ``/session.v1.SessionService/Login``.
        verb: the method of HTTP.
        template: the path: ``/v1/admin/users/{user_id}:setPassword``.
        has_body: whether the request's fields come in a body; else in path and query alone.
    """

    method: str
    verb: str
    template: str
    has_body: bool


def descriptor_set() -> FileDescriptorSet:
    """The contract with its annotations and comments, which Python's descriptors do not keep."""
    raw = resources.files("session_service.rpc").joinpath("session.binpb").read_bytes()
    return FileDescriptorSet.FromString(raw)


def bindings(files: FileDescriptorSet, services: Sequence[str]) -> Iterator[Binding]:
    """The bindings of all methods of some services, in the contract's order.

    Args:
        files: as ``descriptor_set`` reads them.
        services: full names.

    Raises:
        NotImplementedError: a path is of a kind that the contract has not had so far.
    """
    for file in files.file:
        for service in file.service:
            if (name := f"{file.package}.{service.name}") in services:
                for method in service.method:
                    yield from _of(f"/{name}/{method.name}", method.options.Extensions[annotations_pb2.http])


def _of(method: str, rule: Any) -> Iterator[Binding]:  # noqa: ANN401 - googleapis has no types
    for each in (rule, *rule.additional_bindings):
        verb = each.WhichOneof("pattern")
        if verb is None:
            continue
        template = getattr(each, verb)
        if verb not in _VERBS or each.body not in {"", "*"} or not _TEMPLATE.fullmatch(template):
            raise NotImplementedError(
                f"{method}: REST cannot serve {verb} {template} with body {each.body!r}"
            )
        yield Binding(method, verb.upper(), template, each.body == "*")
