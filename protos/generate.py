# ruff: noqa: INP001 - a script, not a package
"""Writes the Python stubs and the descriptor set from the protos beside this file.

Run by ``make proto``; the same protos and tool versions give the same bytes, so CI runs it and
diffs. Writes:

``client/session_api/v1/*_pb2.py``, ``*_pb2.pyi``, ``*_pb2_grpc.py``, ``*_pb2_grpc.pyi``
    The stubs. They import protobuf and grpc only, hence the ``google.api`` annotations are taken
    out before code is generated; and they import each other as ``session_api.v1``, hence no
    top-level package ``session`` lands in a consumer's process.
``session_service/rpc/session.binpb``
    Everything: annotations, imports, comments and the rich details of errors, for reflection, the JSON
    transcoder, lint, and clients in other languages.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from importlib.metadata import distribution
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

PROTOS = Path(__file__).parent
ROOT = PROTOS.parent
STUBS = ROOT / "client" / "session_api" / "v1"
DESCRIPTOR_SET = ROOT / "session_service" / "rpc" / "session.binpb"

# No proto of ours imports what a status' details hold: they are of any type.
ERROR_DETAILS = ("google/rpc/error_details.proto", "google/rpc/status.proto")

OWN_PREFIX = "session/v1/"
STRIPPED_PREFIX = "google/api/"
HEADER = "# Generated from protos/session/v1 by `make proto`. Do not edit.\n"

# `session.v1` where it names a Python module: in an import, or as the module of the messages.
# Elsewhere it is the proto package and stays.
PYTHON_MODULE = re.compile(r"\bsession\.v1(?= import \w+_pb2\b|\.\w+_pb2\b)")


def main() -> None:
    """Writes all generated files, replacing the ones there are."""
    full = _compile()
    DESCRIPTOR_SET.parent.mkdir(parents=True, exist_ok=True)
    DESCRIPTOR_SET.write_bytes(full.SerializeToString(deterministic=True))
    _replace_stubs(_generate(_without_annotations(full)))


def _compile() -> FileDescriptorSet:
    """The protos with their imports; comments of our own files only, to keep it small."""
    includes = (
        PROTOS,
        distribution("googleapis-common-protos").locate_file(""),
        distribution("grpcio-tools").locate_file("grpc_tools/_proto"),
    )
    sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.glob(f"{OWN_PREFIX}*.proto"))
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
        if not file.name.startswith(OWN_PREFIX):
            file.ClearField("source_code_info")
    return full


def _without_annotations(full: FileDescriptorSet) -> FileDescriptorSet:
    """A copy whose own files do not use the ``google.api`` protos."""
    plain = FileDescriptorSet()
    plain.CopyFrom(full)
    for file in plain.file:
        if file.name.startswith(OWN_PREFIX):
            _strip(file)
    return plain


def _strip(file: FileDescriptorProto) -> None:
    file.dependency[:] = [name for name in file.dependency if not name.startswith(STRIPPED_PREFIX)]
    for service in file.service:
        for method in service.method:
            # The annotation is the only option our methods have.
            method.ClearField("options")


def _generate(plain: FileDescriptorSet) -> dict[str, str]:
    """Stub file name → text."""
    own = [file for file in plain.file if file.name.startswith(OWN_PREFIX)]
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
        written = sorted(Path(scratch, OWN_PREFIX).iterdir())
        return {path.name: _finish(path.read_text("utf-8")) for path in written}


def _finish(text: str) -> str:
    return HEADER + PYTHON_MODULE.sub("session_api.v1", text)


def _replace_stubs(stubs: dict[str, str]) -> None:
    STUBS.mkdir(parents=True, exist_ok=True)
    for stale in STUBS.glob("*_pb2*"):
        stale.unlink()
    for name, text in stubs.items():
        (STUBS / name).write_text(text, "utf-8")


def _protoc(*arguments: str) -> None:
    # In a process of its own: protoc would register the annotations in this one.
    command = [sys.executable, "-m", "grpc_tools.protoc", *arguments]
    subprocess.run(command, check=True, cwd=PROTOS)  # noqa: S603 - our own arguments


if __name__ == "__main__":
    main()
