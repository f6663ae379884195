"""A command on a terminal: what it shows, and typing to it."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from fcntl import ioctl
from select import select
from termios import TIOCSWINSZ
from typing import Final, Self

from tests.support.service_process import ROOT

_TIMEOUT: Final = 60.0


class Screen:
    """Runs a `session-service` command with a terminal of its own on all three streams.

    Args:
        arguments: The command line.
        environment: `SESSION_…` variables.
        columns: Its width.
    """

    def __init__(self, *arguments: str, environment: Mapping[str, str], columns: int = 200) -> None:
        self._master, slave = os.openpty()
        ioctl(slave, TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        kept = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "NO_COLOR"}}
        path = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "client")]), "TERM": "xterm"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "session_service.cli", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=kept | path | dict(environment),
            start_new_session=True,
        )
        os.close(slave)
        self.shown = ""

    def __enter__(self) -> Self:
        """Use it as it is."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the command, if it has not ended."""
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def type(self, prompt: str, text: str) -> None:
        """Wait for a prompt after what was typed last, and answer it."""
        before = len(self.shown)
        while prompt not in self.shown[before:]:
            assert self._read(), f"{prompt!r} was not asked: {self.shown!r}"
        os.write(self._master, text.encode() + b"\n")

    def end(self) -> int:
        """Wait until the command ends; its exit code."""
        while self._read():
            pass
        return self._process.wait(_TIMEOUT)

    def _read(self) -> bool:
        """Add what is shown next; whether there was something."""
        deadline = time.monotonic() + _TIMEOUT
        ready, _, _ = select([self._master], [], [], deadline - time.monotonic())
        assert ready, f"nothing more was shown: {self.shown!r}"
        try:
            raw = os.read(self._master, 65_536)
        except OSError as error:
            # How Linux says that nobody has the terminal open any more.
            if error.errno != errno.EIO:
                raise
            raw = b""
        self.shown += raw.decode()
        return bool(raw)
