# ruff: noqa: INP001 - a script, not a package
"""Writes the synchronous client from the asynchronous one beside it.

Run by ``make sync-client``. Each ``session_client/_async_*.py`` gives a ``_sync_*.py`` by the
replacements below, word by word, and ruff's formatting; a test regenerates and compares.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent / "session_client"
HEADER = "# Generated from {source} by `make sync-client`. Do not edit.\n"

REPLACEMENTS = (
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAwaitable\[(\w+\[\w+\])\]", r"\1"),
    (r"\bAwaitable, ", ""),
    (r"\bAsync(\w)", r"\1"),
    (r"__a(enter|exit)__", r"__\1__"),
    (r"\bgrpc\.aio\.", "grpc."),
    (r"\b_async_", "_sync_"),
    (r"\b_sharing_aio\b", "_sharing_threads"),
    (r"\bopen_async_channel\b", "open_channel"),
    (
        r"Make one for the whole process, inside the event loop that uses it, and keep it:",
        "Make one for all threads of a process, after any fork, and keep it:",
    ),
)


def main() -> None:
    """Write all generated files."""
    for path, text in generated().items():
        path.write_text(text, "utf-8")


def generated() -> dict[Path, str]:
    """Path → text of each synchronous module."""
    return {
        source.with_name(source.name.replace("_async_", "_sync_")): _formatted(_synchronous(source))
        for source in sorted(PACKAGE.glob("_async_*.py"))
    }


def _synchronous(source: Path) -> str:
    text = source.read_text("utf-8")
    for pattern, replacement in REPLACEMENTS:
        text = re.sub(pattern, replacement, text)
    return HEADER.format(source=source.name) + text


def _formatted(text: str) -> str:
    # Imports change places, and without `async` a loop that only yields is a `yield from`.
    fix = ("check", "--fix", "--unsafe-fixes", "--select=I,UP028")
    for arguments in (fix, ("format",)):
        text = _ruff(*arguments, text=text)
    return text


def _ruff(*arguments: str, text: str) -> str:
    place = f"--stdin-filename={PACKAGE / '_.py'}"
    command = [sys.executable, "-m", "ruff", *arguments, "--quiet", place, "-"]
    return subprocess.run(command, input=text, check=True, capture_output=True, encoding="utf-8").stdout  # noqa: S603


if __name__ == "__main__":
    main()
