"""Server reflection that shows the comments of the protos.

A Python descriptor pool forgets comments, so grpcurl's ``describe`` would show bare fields.
``session.binpb``, written by ``make proto``, keeps them, with the HTTP annotations.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import resources

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha.reflection import aio
from session_api.v1 import error_reason_pb2  # noqa: F401 - no service imports it; the pool shall know it

Known = dict[str, descriptor_pb2.FileDescriptorProto]


class DocumentedFile:
    """A proto file as reflection asks for it: by name, with its imports, copied whole."""

    def __init__(self, name: str, known: Known) -> None:
        self.name = name
        self._known = known

    @property
    def dependencies(self) -> Sequence[DocumentedFile | FileDescriptor]:
        """The files it imports."""
        return [documented(name, self._known) for name in self._known[self.name].dependency]

    def CopyToProto(self, proto: descriptor_pb2.FileDescriptorProto) -> None:  # noqa: N802
        """Copy the file, comments included."""
        proto.CopyFrom(self._known[self.name])


class DocumentedPool:
    """Finds files like a ``DescriptorPool``, documented where ``session.binpb`` has them."""

    def __init__(self) -> None:
        raw = resources.files("session_service.rpc").joinpath("session.binpb").read_bytes()
        files = descriptor_pb2.FileDescriptorSet.FromString(raw).file
        self._known: Known = {file.name: file for file in files}
        self._default = descriptor_pool.Default()

    def FindFileByName(self, name: str) -> DocumentedFile | FileDescriptor:  # noqa: N802
        """The file of this name; ``KeyError`` if there is none."""
        return documented(name, self._known)

    def FindFileContainingSymbol(self, symbol: str) -> DocumentedFile | FileDescriptor:  # noqa: N802
        """The file that defines a service, message, method or field."""
        try:
            found = self._default.FindFileContainingSymbol(symbol)
        except KeyError:
            # The pool does not know methods; their service it does.
            found = self._default.FindFileContainingSymbol(symbol.rpartition(".")[0])
        return documented(found.name, self._known)

    def __getattr__(self, name: str) -> object:
        """What concerns extensions is left to the default pool: there are none of ours."""
        return getattr(self._default, name)


def documented(name: str, known: Known) -> DocumentedFile | FileDescriptor:
    """The file with its comments if they are known, else as the default pool has it."""
    if name in known:
        return DocumentedFile(name, known)
    return descriptor_pool.Default().FindFileByName(name)


def reflection_servicer(services: Iterable[str]) -> aio.ReflectionServicer:
    """A servicer that lists these services."""
    return aio.ReflectionServicer(tuple(services), pool=DocumentedPool())
