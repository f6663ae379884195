"""README.md begins as a newcomer needs it, and what runs for long works as well."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from session_service.tokens.keys import new_document
from tests.support import LOOPBACK, eventually, free_port
from tests.support.house_rules import ROOT
from tests.support.pages import blocks

if TYPE_CHECKING:
    from tests.support import RedisServer

LINES = (ROOT / "README.md").read_text("utf-8").splitlines()
BLOCKS = blocks((ROOT / "README.md").read_text("utf-8"))
# The one between makes a client in another language: tests/interop runs it.
[TWO_COMMANDS, _, SERVE] = [block.text.splitlines() for block in BLOCKS if block.language == "console"]
[CONFIGURATION] = [block.text for block in BLOCKS if block.language == "yaml"]


def test_the_two_commands_come_first() -> None:
    """What it is takes two lines, then come `make run` and `make test`, then a first call."""
    assert LINES[0] == "# session-service"
    assert LINES[1] == LINES[4] == ""
    assert [block.language for block in BLOCKS[:3]] == ["console", "sh", "json"]
    assert BLOCKS[1].text.startswith(". .session-service/dev.env\n")


def test_the_two_commands_are_targets_of_make() -> None:
    """They are not run from within the tests, which one of them runs, but the Makefile has them."""
    commands = [line.partition("#")[0].split() for line in TWO_COMMANDS]

    assert commands == [["make", "run"], ["make", "test"]]
    assert {"run", "test"} <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_configuration_to_begin_with_serves(
    redis_server: RedisServer, tmp_path: Path, engine: str
) -> None:
    """With a key file and a Redis, the command that is shown serves gRPC and REST, and ends in order."""
    (tmp_path / "session-service.yaml").write_text(CONFIGURATION)
    (tmp_path / "keys.json").write_text(json.dumps(new_document("EdDSA")))
    log = tmp_path / "log"
    places = _elsewhere(redis_server)
    http = "LISTEN" if engine == "native" else "HTTP_LISTEN"
    [command] = SERVE
    with log.open("wb") as file:
        service = subprocess.Popen(
            command.split(),
            executable=Path(sys.executable).with_name("session-service"),
            cwd=tmp_path,
            env=os.environ | places | {"SESSION_SERVER__ENGINE": engine},
            stdin=subprocess.DEVNULL,
            stderr=file,
            start_new_session=True,
        )
    try:
        eventually(lambda: '"event": "ready"' in log.read_text() or service.poll() is not None, timeout=30)
        assert httpx.get(f"http://{places[f'SESSION_SERVER__{http}']}/readyz").status_code == 200
    finally:
        service.send_signal(signal.SIGTERM)
        assert service.wait(30) == 0, log.read_text()
    assert '"event": "ready"' in log.read_text()


def _elsewhere(server: RedisServer) -> dict[str, str]:
    """The environment that moves every address of the configuration to a free one."""
    return {
        "SESSION_REDIS__PORT": str(server.port),
        "SESSION_SERVER__LISTEN": f"{LOOPBACK}:{free_port()}",
        "SESSION_SERVER__HTTP_LISTEN": f"{LOOPBACK}:{free_port()}",
        "SESSION_METRICS__LISTEN": f"{LOOPBACK}:{free_port()}",
    }
