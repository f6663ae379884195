"""The programs of tests/interop/: built by each language's usual tools, run against a service."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tests.support.house_rules import ROOT
from tests.support.pages import blocks
from tests.support.tools import missing, require_tool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SOURCES: Final = ROOT / "tests" / "interop"
DESCRIPTOR_SET: Final = ROOT / "session_service" / "rpc" / "session.binpb"
_TIMEOUT: Final = 100.0

Line = dict[str, Any]
Command = tuple[str | Path, ...]


def transcript(program: Command, *arguments: str) -> list[Line]:
    """Run a program and give the lines that it printed.

    Args:
        program: What starts it.
        arguments: A scenario, the service's address, a credential.
    """
    done = _run(*program, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return lines(done.stdout)


def lines(text: str) -> list[Line]:
    """The objects of a text in JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


def python_program(_: Path) -> Command:
    """The program in Python, on the project's own stubs."""
    return (sys.executable, "-m", "tests.interop.python.client")


def go_program(directory: Path) -> Command:
    """Build the program in Go, its stubs by the command that README.md shows."""
    go, module, tools = require_tool("go"), directory / "go", directory / "bin"
    shutil.copytree(SOURCES / "go", module)
    _fetch(go, "mod", "download", cwd=module)
    assert (module / "go.sum").read_bytes() == (SOURCES / "go" / "go.sum").read_bytes()
    _build(go, "install", "tool", cwd=module, GOBIN=str(tools))
    buf, *arguments = generate_command()
    assert buf == "buf"
    path = os.pathsep.join([str(tools), os.environ["PATH"]])
    _build(Path(sys.executable).with_name(buf), *arguments, "--output", module, PATH=path)
    _build(go, "vet", ".", cwd=module)
    _build(go, "build", "-o", "client", ".", cwd=module)
    return (module / "client",)


def node_program(directory: Path) -> Command:
    """Install what the program in Node needs, and write the descriptor set that it reads."""
    node, npm, package = require_tool("node"), require_tool("npm"), directory / "node"
    shutil.copytree(SOURCES / "node", package)
    _fetch(npm, "ci", "--no-audit", "--no-fund", "--prefer-offline", cwd=package)
    contract = package / "contract.binpb"
    contract.write_bytes(_with_standard_services().SerializeToString())
    return (node, package / "client.mjs", contract)


PROGRAMS: Final[dict[str, Callable[[Path], Command]]] = {
    "python": python_program,
    "go": go_program,
    "node": node_program,
}
"""What makes the program of each language in a directory, and gives the command that runs it."""


def generate_command() -> list[str]:
    """The command by which README.md makes a client in another language."""
    shown = [block.text for block in blocks((ROOT / "README.md").read_text("utf-8"))]
    [command] = [text for text in shown if text.startswith("buf generate")]
    return command.partition("#")[0].split()


def _with_standard_services() -> FileDescriptorSet:
    """Our contract, and those of health and reflection."""
    full = FileDescriptorSet.FromString(DESCRIPTOR_SET.read_bytes())
    for module in (health_pb2, reflection_pb2):
        _add(full, module.DESCRIPTOR)
    return full


def _add(full: FileDescriptorSet, file: Any) -> None:
    """Add a file after its imports, unless it is there."""
    if any(each.name == file.name for each in full.file):
        return
    for imported in file.dependencies:
        _add(full, imported)
    file.CopyToProto(full.file.add())


def _fetch(*command: str | Path, cwd: Path) -> None:
    """Get locked packages; a laptop without a network, or with an old Go, skips aloud."""
    done = _run(*command, cwd=cwd)
    if done.returncode != 0:
        missing(f"{_spelled(command)} failed:\n{done.stdout}{done.stderr}")


def _build(*command: str | Path, cwd: Path = ROOT, **environment: str) -> None:
    done = _run(*command, cwd=cwd, **environment)
    assert done.returncode == 0, f"{_spelled(command)} failed:\n{done.stdout}{done.stderr}"


def _run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    ours = {
        "GOTOOLCHAIN": "local",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "client")]),
    }
    return subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | ours | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT,
    )


def _spelled(command: Sequence[str | Path]) -> str:
    return " ".join(str(word) for word in command)
