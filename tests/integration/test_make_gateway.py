"""`make gateway`: one command starts all of it, what it prints works when pasted, Ctrl-C ends all of it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.support import LOOPBACK, eventually, free_port, require_tool
from tests.support.engines import chosen_engine
from tests.support.gateway import envoy_binary
from tests.support.house_rules import ROOT
from tests.support.processes import alive
from tests.support.tether import Tether

_TIMEOUT: Final = 60.0


class Launcher:
    """`python -m deploy.envoy.gateway`, as the Makefile has it, on free ports.

    Args:
        directory: made for it; development mode keeps its data there.
        places: its ports, if they are to be another's.
    """

    def __init__(self, directory: Path, places: Sequence[str] = ()) -> None:
        directory.mkdir(exist_ok=True)
        self.service = f"{LOOPBACK}:{free_port()}"
        self.data = directory / "data"
        self.places = places or [
            f"--{name}={LOOPBACK}:{free_port()}" for name in ("gateway", "admin", "upstream")
        ]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SESSION_")}
        settings = {
            "SESSION_SERVER__LISTEN": self.service,
            "SESSION_SERVER__HTTP_LISTEN": f"{LOOPBACK}:{free_port()}",
            "SESSION_SERVER__ENGINE": chosen_engine(),
            "SESSION_REDIS__DATA_DIR": str(self.data),
        }
        path = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "client")])}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "deploy.envoy.gateway", *self.places],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=directory,
            env=kept | settings | path,
            start_new_session=True,
        )
        self._tether = Tether(self.process.pid)

    def printed(self) -> str:
        """What it prints until it is ready."""
        assert self.process.stdout is not None
        lines: list[str] = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith("Ctrl-C"):
                return "".join(lines)
        message = f"it ended: {''.join(lines)}"
        raise AssertionError(message)

    def children(self) -> list[int]:
        """The processes it started."""
        pid = self.process.pid
        return [
            int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
        ]

    def close(self) -> None:
        """End it as Ctrl-C does, and what it left behind with it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(_TIMEOUT)
        finally:
            for stream in (self.process.stdout, self.process.stderr):
                assert stream is not None
                stream.close()
            self._tether.release()


@pytest.fixture
def launcher(engine: str, tmp_path: Path) -> Iterator[Launcher]:
    """One on either engine, ended after the test."""
    envoy_binary()
    started = Launcher(tmp_path)
    yield started
    started.close()


def test_what_it_prints_works(launcher: Launcher) -> None:
    """The login gives a token, and each curl line answers with the status that stands beside it."""
    require_tool("curl")
    lines = re.findall(r"^  (\S.+)$", launcher.printed().partition("Paste this")[2], re.MULTILINE)
    login, asked = lines[:2], lines[2:]
    assert [line.split()[0] for line in lines] == [".", "TOKEN=$(curl", *["curl"] * 6]
    for line in asked:
        script = "\n".join([*login, line])
        done = subprocess.run(["bash", "-ec", script], check=True, capture_output=True, text=True)  # noqa: S607
        [status] = re.findall(r" # (\d{3}):", line)
        assert done.stdout.startswith(f"HTTP/1.1 {status} "), line
        assert '"root"' not in done.stdout


def test_ctrl_c_ends_all_of_it(launcher: Launcher) -> None:
    """Service and Envoy end with it, and it says that all is well."""
    launcher.printed()
    children = launcher.children()
    assert len(children) == 2
    launcher.process.send_signal(signal.SIGINT)
    assert launcher.process.wait(_TIMEOUT) == 0
    assert not any(alive(child) for child in children)


def test_it_ends_where_a_part_of_it_does(launcher: Launcher) -> None:
    """A gateway without its service is nothing to go on with: the rest ends, and the exit code says so."""
    launcher.printed()
    service, envoy = launcher.children()
    os.kill(service, signal.SIGTERM)
    assert launcher.process.wait(_TIMEOUT) == 1
    eventually(lambda: not alive(envoy), timeout=_TIMEOUT)


@pytest.mark.parametrize("name", ["gateway", "admin", "upstream"])
def test_a_taken_port_is_told(tmp_path: Path, name: str) -> None:
    """It says which and how to take another, starts nothing, and ends."""
    with socket.create_server((LOOPBACK, 0)) as taken:
        address = f"{LOOPBACK}:{taken.getsockname()[1]}"
        others = {each: f"{LOOPBACK}:{free_port()}" for each in ("gateway", "admin", "upstream")}
        places = [f"--{each}={place}" for each, place in (others | {name: address}).items()]
        launcher = Launcher(tmp_path, places)
        with contextlib.closing(launcher):
            _, told = launcher.process.communicate(timeout=_TIMEOUT)
    assert launcher.process.returncode == 1
    assert told.startswith(f"Error: cannot listen on {address}: Address already in use; ")
    assert f"ARGS=--{name}=" in told
    assert not launcher.data.exists()
