"""Pasting the command blocks of a page into a shell, one after the other, as a reader does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from tests.support.house_rules import ROOT
from tests.support.pages import Block

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIMEOUT: Final = 60.0
_MARK: Final = "-- end of block --"
_SHOWN: Final = frozenset({"json", "text"})


@dataclass(frozen=True, slots=True)
class Pasted:
    """A block that was run: what it printed, standard error included, and whether a command of it failed."""

    block: Block
    output: str
    failed: bool


class Terminal:
    """A bash in a directory that looks like a clone: variables of one block are there in the next.

    Args:
        directory: Where to run; the project's files and this environment, as `.venv`, are linked into it.
        environment: Variables besides the test's own, which loses any `SESSION_…`.
    """

    def __init__(self, directory: Path, environment: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        _look_like_a_clone(directory)
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],  # noqa: S607 - the reader's own
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=_own_environment() | dict(environment or {}),
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        """Use the shell as it is."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the shell."""
        self._shell.kill()
        self._shell.communicate()

    def paste(self, block: Block) -> Pasted:
        """Run a block of `sh` or `python` to its end, or save one of `yaml` under the name in its first line.

        What takes longer than a minute is killed with the shell.
        """
        if block.language == "yaml":
            (self.directory / block.text.partition("\n")[0].removeprefix("# ")).write_text(block.text)
            return Pasted(block, "", failed=False)
        name = f"block.{block.language}"
        (self.directory / name).write_text(block.text)
        run = f". ./{name}" if block.language == "sh" else f".venv/bin/python {name}"
        watchdog = threading.Timer(_TIMEOUT, self._shell.kill)
        watchdog.start()
        try:
            status, output = self._run(f"{run} </dev/null")
        finally:
            watchdog.cancel()
        return Pasted(block, output, failed=status != "0")

    def _run(self, command: str) -> tuple[str, str]:
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        # The trap notices each failing command of a block, not only the last.
        self._shell.stdin.write(
            f"failed=0; trap failed=1 ERR; {command}; trap - ERR; echo '{_MARK}' $failed\n"
        )
        self._shell.stdin.flush()
        output = ""
        for line in self._shell.stdout:
            before, mark, status = line.partition(_MARK)
            output += before
            if mark:
                return status.strip(), output
        return "the shell ended", output


def expected_output(blocks: list[Block], place: int) -> str:
    """The output that a page shows right after the block at this place; empty if it shows none."""
    following = blocks[place + 1 : place + 2]
    return following[0].text if following and following[0].language in _SHOWN else ""


def matches(shown: str, output: str) -> bool:
    """Whether an output is as shown, where `…` stands for anything, and a line `  …` for any lines."""
    parts = re.split(r"( *…\n|…)", shown.strip() + "\n")
    pattern = "".join(_pattern(part) for part in parts)
    return re.fullmatch(pattern, output.strip() + "\n", re.DOTALL) is not None


def _pattern(part: str) -> str:
    if part == "…":
        return r"[^\n]*"
    return r".*" if part.endswith("…\n") else re.escape(part)


def _look_like_a_clone(directory: Path) -> None:
    links = {path.name: path for path in ROOT.iterdir() if not path.name.startswith(".")}
    for name, target in (links | {".venv": Path(sys.prefix)}).items():
        if not (directory / name).exists():
            (directory / name).symlink_to(target)


def _own_environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SESSION_")}
    return kept | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "client")])}
