"""Pasting blocks into a shell, and judging what they print."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.pages import Block
from tests.support.terminal import Terminal, matches

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A shell in an empty directory."""
    with Terminal(tmp_path, {"GREETING": "hello"}) as terminal:
        yield terminal


def test_variables_stay_from_block_to_block(terminal: Terminal) -> None:
    """A later block has the variables of an earlier one, and those given from outside."""
    terminal.paste(Block("sh", "WHOM=world\n", 1))

    assert terminal.paste(Block("sh", 'echo "$GREETING $WHOM"\n', 2)).output == "hello world\n"


@pytest.mark.parametrize("text", ["false\necho on\n", "echo on\nfalse\n", "no-such-command\n", "if\n"])
def test_a_failing_command_is_noticed(terminal: Terminal, text: str) -> None:
    """A block has failed if any of its commands has, and the next one begins afresh."""
    assert terminal.paste(Block("sh", text, 1)).failed
    assert not terminal.paste(Block("sh", "true\n", 2)).failed


def test_commands_do_not_read_the_blocks_after_them(terminal: Terminal) -> None:
    """A command that reads its standard input finds it empty."""
    assert terminal.paste(Block("sh", "cat\n", 1)).output == ""
    assert terminal.paste(Block("sh", "echo still here\n", 2)).output == "still here\n"


def test_python_runs_in_the_environment_of_the_tests(terminal: Terminal) -> None:
    """A block of Python finds the client; an exception is a failure, and shown."""
    assert terminal.paste(Block("python", "import session_client\nprint(1)\n", 1)).output == "1\n"
    failed = terminal.paste(Block("python", "raise SystemExit('no')\n", 2))
    assert (failed.failed, failed.output) == (True, "no\n")


@pytest.mark.parametrize(
    ("shown", "output", "right"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\nb\n", "a\nc\n", False),
        ("a\n", "a\nb\n", False),
        ('"id": "…"\n', '"id": "17"\n', True),
        ('"id": "…"\n', '"id": "1\n7"\n', False),
        ("a\n  …\nd\n", "a\n  b\n  c\nd\n", True),
        ("a.c\n", "abc\n", False),
    ],
)
def test_an_output_is_as_shown(shown: str, output: str, right: bool) -> None:
    """Word for word, but where the page says that anything may stand."""
    assert matches(shown, output) is right
