"""README.md begins as a newcomer needs it, and what it shows besides commands holds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from session_service.config import load_config, missing_to_serve
from tests.support.house_rules import ROOT
from tests.support.pages import Block, blocks

if TYPE_CHECKING:
    from pathlib import Path

BLOCKS = blocks((ROOT / "README.md").read_text("utf-8"))


def of_language(language: str) -> pytest.MarkDecorator:
    """One test for each block of a language."""
    found = [block for block in BLOCKS if block.language == language]
    return pytest.mark.parametrize("block", found, ids=lambda block: f"line {block.line}")


def test_the_two_commands_come_first() -> None:
    """What it is takes two lines, then come `make run` and `make test`, then a first call."""
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()

    assert lines[0] == "# session-service"
    assert lines[1] == lines[4] == ""
    assert [line.split()[:2] for line in BLOCKS[0].text.splitlines()] == [["make", "run"], ["make", "test"]]
    assert BLOCKS[1].text.startswith(". .session-service/dev.env\n")


@of_language("console")
def test_what_runs_for_long_is_a_target_of_make(block: Block) -> None:
    """`make run` and `make test` are not run from within the tests, but the Makefile has them."""
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)

    for line in block.text.splitlines():
        assert line.partition("#")[0].split() in [["make", target] for target in targets]


@of_language("yaml")
def test_a_configuration_is_taken(block: Block, tmp_path: Path) -> None:
    """A configuration that is shown has no unknown key, and is enough to serve."""
    file = tmp_path / "session-service.yaml"
    file.write_text(block.text)

    assert missing_to_serve(load_config(file, {})) == ()
