"""An Envoy as its supervisor sees it: how it is started, told and waited for. A stand-in is run instead."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from pathlib import Path

import pytest

from session_service import envoy_binary
from session_service.config import Config
from session_service.workers import CONNECTION_VARIABLE, EnvoyWorker
from tests.support import free_port
from tests.support.processes import alive

Start = Callable[..., EnvoyWorker]
# Takes its launch from the connection as Python inside Envoy does, and then does what is put in.
STAND_IN = """#!{python}
import json, os, pathlib, signal, sys
from multiprocessing.connection import Connection
connection = Connection(int(os.environ["{variable}"]))
launch = connection.recv()
facts = {{"arguments": sys.argv[1:], "cwd": os.getcwd(), "leads": os.getsid(0) == os.getpid(),
         "listen": launch.config.server.listen, "from": str(launch.working_directory)}}
pathlib.Path("facts.json").write_text(json.dumps(facts))
{does}
"""
SERVES = 'connection.send("there")\nwhile (number := connection.recv()) != signal.SIGTERM: pass'
FAILS = "sys.exit(3)"
STAYS = 'connection.send("there")\nwhile True: signal.pause()'


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """A function that starts a worker whose Envoy does what is given."""
    workers: list[EnvoyWorker] = []
    paths = os.pathsep.join(sys.path)

    def start(does: str, *, share_port: bool = False) -> EnvoyWorker:
        program = tmp_path / "envoy"
        program.write_text(STAND_IN.format(python=sys.executable, variable=CONNECTION_VARIABLE, does=does))
        program.chmod(0o700)
        monkeypatch.setattr(envoy_binary, "path", lambda: program)
        monkeypatch.setattr(envoy_binary, "environment", lambda: {"PYTHONPATH": paths})
        config = Config.model_validate({"server": {"listen": f"127.0.0.1:{free_port()}"}})
        workers.append(EnvoyWorker(config, tmp_path / "worker", share_port=share_port))
        return workers[-1]

    yield start
    for worker in workers:
        worker.join(0)


def test_it_is_told_where_it_stands(start: Start, tmp_path: Path) -> None:
    """The configuration comes through the connection; relative paths in it start from the supervisor's."""
    worker = start(SERVES)
    assert worker.address() == "there"
    facts = json.loads((tmp_path / "worker" / "facts.json").read_text())
    assert facts["from"] == str(Path.cwd())
    assert facts["cwd"] == str(tmp_path / "worker")
    assert facts["listen"].startswith("127.0.0.1:")
    # The terminal's Ctrl-C does not reach a session of its own.
    assert facts["leads"]


def test_its_files_are_private(start: Start, tmp_path: Path) -> None:
    """Nobody else comes near its admin socket; and no secret is among its arguments."""
    start(SERVES).address()
    assert stat.S_IMODE((tmp_path / "worker").stat().st_mode) == 0o700
    arguments = json.loads((tmp_path / "worker" / "facts.json").read_text())["arguments"]
    assert arguments[:2] == ["--config-path", str(tmp_path / "worker" / "envoy.json")]
    assert arguments[arguments.index("--concurrency") + 1] == "1"
    # Two Envoys on a machine would stop each other's start.
    assert "--disable-hot-restart" in arguments


@pytest.mark.parametrize("shared", [True, False])
def test_several_share_the_port(start: Start, tmp_path: Path, shared: bool) -> None:
    """And one alone does not."""
    start(SERVES, share_port=shared).address()
    envoy = json.loads((tmp_path / "worker" / "envoy.json").read_text())
    assert envoy["static_resources"]["listeners"][0]["enable_reuse_port"] is shared


def test_orders_reach_it(start: Start, tmp_path: Path) -> None:
    """Through the connection; at the order to stop it ends by itself, that is seen, and it leaves nothing."""
    worker = start(SERVES)
    worker.address()
    worker.obey(signal.SIGHUP)
    assert not wait([worker.ended], 0.05)
    worker.obey(signal.SIGTERM)
    assert wait([worker.ended], 20)
    assert worker.has_ended()
    assert (worker.exit_code, alive(worker.pid)) == (0, False)
    assert not (tmp_path / "worker").exists()


def test_one_that_ends_before_it_serves_has_no_address(start: Start) -> None:
    """Nobody waits for ever; orders that come too late are no fault."""
    worker = start(FAILS)
    assert worker.address() is None
    assert wait([worker.ended], 20)
    assert worker.has_ended()
    assert worker.exit_code == 3
    worker.obey(signal.SIGTERM)


def test_an_address_that_nobody_waited_for_is_no_end(start: Start) -> None:
    """A worker that took the place of another tells its address, and lives."""
    worker = start(SERVES)
    assert wait([worker.ended], 20)
    assert not worker.has_ended()
    assert alive(worker.pid)


def test_one_that_does_not_end_is_killed(start: Start) -> None:
    """Once its time is over."""
    worker = start(STAYS)
    worker.address()
    worker.obey(signal.SIGTERM)
    worker.join(0.05)
    assert (worker.exit_code, alive(worker.pid)) == (-signal.SIGKILL, False)
