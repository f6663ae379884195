"""Each command block of README.md works when pasted, in order, after `make run`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support import ServiceProcess, require_tool
from tests.support.house_rules import ROOT
from tests.support.pages import Block, blocks
from tests.support.terminal import Pasted, Terminal, expected_output, matches

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCKS = blocks((ROOT / "README.md").read_text("utf-8"))
COMMANDS = [block for block in BLOCKS if block.language in {"sh", "python"}]
IN_ANOTHER_TERMINAL = [block for block in BLOCKS if block.language == "console"]
EACH = pytest.mark.parametrize("block", COMMANDS, ids=lambda block: f"line {block.line}")


@pytest.fixture(scope="module")
def pasted() -> Iterator[dict[int, Pasted]]:
    """What became of each block, by its line."""
    require_tool("grpcurl")
    with ServiceProcess(dev=True) as service, Terminal(service.directory) as terminal:
        yield {block.line: terminal.paste(block) for block in COMMANDS}


@EACH
def test_a_block_works_when_pasted(block: Block, pasted: dict[int, Pasted]) -> None:
    """Every command of the block succeeds, or fails where the page shows an error."""
    done = pasted[block.line]
    shows_error = "ERROR:" in expected_output(BLOCKS, BLOCKS.index(block))

    assert done.failed == shows_error, done.output


@EACH
def test_a_block_prints_what_is_shown(block: Block, pasted: dict[int, Pasted]) -> None:
    """The output is the one that the page shows right after the block."""
    shown = expected_output(BLOCKS, BLOCKS.index(block))
    done = pasted[block.line]

    assert not shown or matches(shown, done.output), done.output


@pytest.mark.parametrize("block", IN_ANOTHER_TERMINAL, ids=lambda block: f"line {block.line}")
def test_what_is_for_another_terminal_is_a_target_of_make(block: Block) -> None:
    """`make run` and `make test` are not run from within the tests, but the Makefile has them."""
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)

    for line in block.text.splitlines():
        assert line.partition("#")[0].split() in [["make", target] for target in targets]


def test_the_page_has_its_first_call() -> None:
    """The two commands come first, and a first call in each of shell and Python is there."""
    assert BLOCKS[0].language == "console"
    assert [line.split()[:2] for line in BLOCKS[0].text.splitlines()] == [["make", "run"], ["make", "test"]]
    assert {"sh", "python"} <= {block.language for block in COMMANDS}
