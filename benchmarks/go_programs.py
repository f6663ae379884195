"""Builds the programs in Go that the benchmarks run: the load generator and the peer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.errors import BenchmarkError

_HERE: Final = Path(__file__).parent
_ROOT: Final = _HERE.parent
_LOADGEN: Final = _HERE / "loadgen"
_PEER: Final = _HERE / "peers" / "go"


def build_loadgen(directory: Path) -> Path:
    """Build the load generator in a directory, and return its path.

    Raises:
        BenchmarkError: there is no Go here, or it cannot build the program.
    """
    program = directory / "loadgen"
    _run(_go(), "build", "-buildvcs=false", "-o", str(program), ".", cwd=_LOADGEN)
    return program


def build_peer(directory: Path) -> Path:
    """Build the Go peer in a directory, its stubs generated from the committed descriptor set.

    Raises:
        BenchmarkError: there is no Go here, it cannot fetch the modules of ``go.sum``, or it cannot build.
    """
    go, module, tools = _go(), directory / "peer-go", directory / "peer-tools"
    shutil.copytree(_PEER, module)
    _run(go, "install", "-buildvcs=false", "tool", cwd=module, GOBIN=str(tools))
    path = os.pathsep.join([str(tools), os.environ["PATH"]])
    buf = Path(sys.executable).with_name("buf")
    _run(str(buf), "generate", "--output", str(module), cwd=_ROOT, PATH=path)
    _run(go, "vet", ".", cwd=module)
    _run(go, "build", "-buildvcs=false", "-o", "peer", ".", cwd=module)
    return module / "peer"


def _go() -> str:
    go = shutil.which("go")
    if go is None:
        raise BenchmarkError(
            "go is not on PATH: the load generator and the peer are built by it (Go >= 1.26)"
        )
    return go


def _run(*command: str, cwd: Path, **environment: str) -> None:
    built = subprocess.run(  # noqa: S603 - the commands are our own
        command,
        cwd=cwd,
        env={**os.environ, "GOTOOLCHAIN": "local", **environment},
        capture_output=True,
        check=False,
    )
    if built.returncode:
        raise BenchmarkError(f"{' '.join(command)} in {cwd} failed:\n{built.stderr.decode()}")
