"""Servers that do not outlive the tests, however the tests end."""

from __future__ import annotations

import subprocess

_WAIT_THEN_KILL = 'read -r _; kill -KILL "-$0" 2>/dev/null'


class Tether:
    """Kills a process group once this process is gone, even by SIGKILL: no fixture ends anything then.

    A shell waits at a pipe whose other end only this process holds, and which the kernel closes with it.

    Args:
        group: Id of the process group, which is that of a process started with `start_new_session=True`.
    """

    def __init__(self, group: int) -> None:
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _WAIT_THEN_KILL, str(group)], stdin=subprocess.PIPE, start_new_session=True
        )

    def release(self) -> None:
        """Let the group be: it has ended, and its id may soon be another's."""
        with self._shell as shell:
            shell.kill()
