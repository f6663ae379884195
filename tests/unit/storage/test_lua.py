"""Each script says what it takes, what it does and what it answers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from session_service.storage import scripts

LUA = Path(scripts.__file__).with_name("lua")
SCRIPTS = sorted(path for path in LUA.glob("*.lua") if not path.name.startswith("_"))
PYTHON = "".join(path.read_text() for path in LUA.parent.glob("*.py"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_headed_by_its_contract(path: Path) -> None:
    """KEYS and what it returns come before the first statement, and ARGV where it takes any."""
    header = "".join(
        line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.startswith("--")
    )
    assert path.read_text(encoding="utf-8").startswith(header[:20])
    assert re.search(r"^-- KEYS", header, re.MULTILINE)
    assert re.search(r"^-- Returns", header, re.MULTILINE)
    assert ("ARGV" in path.read_text(encoding="utf-8").replace(header, "")) == ("-- ARGV" in header)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_used(path: Path) -> None:
    """Nothing is kept that nobody runs."""
    assert f'load("{path.stem}")' in PYTHON


def test_the_digest_is_that_of_what_is_sent() -> None:
    """Redis names a script by SHA-1, 40 hexadecimal digits of the whole text."""
    script = scripts.load("end")
    assert re.fullmatch(r"[0-9a-f]{40}", script.sha)
    assert script.text.index("local function end_session") < script.text.index("return end_session(")
