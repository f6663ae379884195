"""Files that hold secrets: readable by their owner alone, and written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import IO


def create_private(path: Path, text: str) -> None:
    """Write a new file of mode 0600.

    Raises:
        FileExistsError: it is there already; nothing is changed.
        OSError: it cannot be written.
    """
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        _write(file, text)


def replace_private(path: Path, text: str) -> None:
    """Write a file in one step, so that a reader finds the old text or the new one.

    A new file has mode 0600. An old one keeps its mode and owner, so that whoever may read it still may:
    the service, say, where root rotates its keys. A symbolic link keeps pointing where it does.

    Raises:
        OSError: it cannot be written; the old one is as it was.
    """
    target = path.resolve()
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    partial.unlink(missing_ok=True)
    try:
        create_private(partial, text)
        if target.exists():
            _copy_access(target, partial)
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _write(file: IO[str], text: str) -> None:
    file.write(text)
    file.flush()
    os.fsync(file.fileno())


def _copy_access(source: Path, target: Path) -> None:
    """Give ``target`` the mode of ``source``, and its owner as far as one may."""
    owner = source.stat()
    with contextlib.suppress(PermissionError):
        os.chown(target, owner.st_uid, owner.st_gid)
    shutil.copymode(source, target)
