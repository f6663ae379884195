"""deploy/session-service.service is a unit that systemd takes, and it confines the service."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from session_service.config.sections import ServerSection
from tests.support import require_tool
from tests.support.house_rules import ROOT

if TYPE_CHECKING:
    from pathlib import Path

UNIT = ROOT / "deploy" / "session-service.service"
# Of 10; most services of a distribution have more than 9.
EXPOSURE = 2.0


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that exists: systemd checks that it does."""
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.MULTILINE)
    file = tmp_path / UNIT.name
    file.write_text(text)
    return file


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze, which needs no systemd that runs."""
    return subprocess.run(
        [require_tool("systemd-analyze"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | {"SYSTEMD_COLORS": "0"},
    )


def test_systemd_takes_it(unit: Path) -> None:
    """No directive is unknown, misspelled or of a wrong value."""
    done = analyze("verify", str(unit))

    assert done.returncode == 0, done.stderr
    assert unit.name not in done.stderr


def test_a_misspelled_directive_is_noticed(unit: Path) -> None:
    """The check above is not blind."""
    unit.write_text(
        unit.read_text(encoding="utf-8").replace("ProtectHome=", "ProtectHomes="), encoding="utf-8"
    )

    assert "ProtectHomes" in analyze("verify", str(unit)).stderr


def test_little_is_exposed(unit: Path) -> None:
    """What systemd itself thinks of the confinement."""
    done = analyze("security", "--offline=true", f"--threshold={EXPOSURE * 10:.0f}", str(unit))

    assert done.returncode == 0, done.stdout


def test_it_stops_in_order() -> None:
    """The first process alone gets SIGTERM, and longer than the service takes by its defaults to drain."""
    settings = dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE))
    server = ServerSection()

    assert settings["KillMode"] == "mixed"
    assert int(settings["TimeoutStopSec"]) >= server.drain_delay + server.shutdown_grace + 10
