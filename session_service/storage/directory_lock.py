"""One process at a time in a directory; the operating system lets go of it however that one ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO, Final, Self

_FILE: Final = "lock"


class DirectoryInUse(Exception):
    """Another process has the directory; ``str()`` says which."""


class DirectoryLock:
    """The right to a directory, kept by ``with`` or from ``take`` to ``release``.

    Args:
        directory: made if missing, for its owner alone.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def take(self) -> None:
        """Take the lock without waiting.

        Raises:
            DirectoryInUse: another process has it.
            OSError: the directory cannot be used.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (self._directory / _FILE).open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "?"
            file.close()
            raise DirectoryInUse(
                f"{self._directory} is in use by another session-service, process {holder}"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        """Let go of it, if it was taken."""
        if self._file is not None:
            self._file.close()
            self._file = None
