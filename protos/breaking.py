# ruff: noqa: INP001 - a script, not a package
"""Compares the contract with that of the last release; run by ``make breaking``.

The last release is the tag nearest to HEAD in its history. Where there is none, nothing is compared, and
that is said. A shallow clone does not know whether there is one, hence fetches its history first.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONTRACT = "session_service/rpc/session.binpb"
BUF = Path(sys.executable).with_name("buf")


def main() -> int:
    """Say what is compared, and let buf name each incompatible change; its exit code."""
    tag = _last_tag()
    if tag is None:
        print("breaking: no tag in the history, so the contract is compared with nothing")  # noqa: T201
        return 0
    print(f"breaking: the contract is compared with that of {tag}", flush=True)  # noqa: T201
    with tempfile.TemporaryDirectory() as scratch:
        released = Path(scratch, "released.binpb")
        released.write_bytes(_git("show", f"{tag}:{CONTRACT}"))
        command: list[str | Path] = [BUF, "breaking", CONTRACT, "--against", released]
        return subprocess.run(command, check=False, cwd=ROOT).returncode  # noqa: S603 - our own arguments


def _last_tag() -> str | None:
    shallow = _git("rev-parse", "--is-shallow-repository").strip() == b"true"
    tag = _nearest_tag()
    if tag is None and shallow:
        _git("fetch", "--quiet", "--unshallow", "--tags")
        tag = _nearest_tag()
    return tag


def _nearest_tag() -> str | None:
    command = ["git", "describe", "--tags", "--abbrev=0"]
    described = subprocess.run(  # noqa: S603 - our own arguments
        command, check=False, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    return described.stdout.decode().strip() if described.returncode == 0 else None


def _git(*arguments: str) -> bytes:
    command = ["git", *arguments]
    return subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE).stdout  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
