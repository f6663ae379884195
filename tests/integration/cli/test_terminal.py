"""Commands on a terminal: asking, confirming, colours, narrow windows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from session_service.users.password_hashes import PasswordHashes
from tests.support import RedisServer
from tests.support.command_line import PASSWORD, Commands
from tests.support.screen import Screen


@pytest.fixture
def commands(one_redis: RedisServer) -> Commands:
    """Commands over an empty Redis."""
    return Commands({"SESSION_REDIS__URL": one_redis.url})


@pytest.fixture
def screen(commands: Commands) -> Callable[..., Screen]:
    """A function that runs a command on a terminal."""

    def screen(*arguments: str, columns: int = 200) -> Screen:
        return Screen(*arguments, environment=commands.environment, columns=columns)

    return screen


def test_a_password_is_asked_for_twice_and_never_shown(
    commands: Commands, screen: Callable[..., Screen]
) -> None:
    """What is typed does not appear; where the two differ both are asked for again."""
    with screen("user", "add", "ada") as terminal:
        terminal.type("Password: ", PASSWORD)
        terminal.type("Once more: ", "something else")
        terminal.type("Password: ", PASSWORD)
        terminal.type("Once more: ", PASSWORD)
        assert terminal.end() == 0
        assert PASSWORD not in terminal.shown

    user = commands.with_backend(lambda backend: backend.administration.get_user(username="ada"))
    assert PasswordHashes().verify(PASSWORD, user.password_hash)


def test_deleting_asks_first(commands: Commands, screen: Callable[..., Screen]) -> None:
    """Anything but yes leaves the user there; `--yes` does not ask."""
    commands.add_user("ada")
    with screen("user", "delete", "ada") as terminal:
        terminal.type("Remove ada for good? [y/N]: ", "n")
        assert terminal.end() == 1
    assert commands("user", "show", "ada").exit_code == 0
    with screen("user", "delete", "ada") as terminal:
        terminal.type("Remove ada for good? [y/N]: ", "y")
        assert terminal.end() == 0
    assert commands("user", "show", "ada").exit_code == 1

    commands.add_user("ada")
    with screen("user", "delete", "ada", "--yes") as terminal:
        assert terminal.end() == 0
        assert "Remove" not in terminal.shown


def test_a_table_has_colours_on_a_terminal_only(commands: Commands, screen: Callable[..., Screen]) -> None:
    """A wide window shows a table with headings set off; a pipe gets the same without."""
    user_id = commands.add_user("ada")
    with screen("user", "list") as terminal:
        assert terminal.end() == 0
        assert "\x1b[1m" in terminal.shown
        assert user_id in terminal.shown
    assert "\x1b" not in commands("user", "list").stdout


def test_a_narrow_window_cuts_nothing(commands: Commands, screen: Callable[..., Screen]) -> None:
    """Where the table does not fit each row is a block."""
    user_id = commands.add_user("ada")
    with screen("user", "list", columns=40) as terminal:
        assert terminal.end() == 0
        assert f"user_id       {user_id}\r\n" in terminal.shown


def test_progress_is_shown_on_a_terminal_only(commands: Commands, screen: Callable[..., Screen]) -> None:
    """While fsck looks it says at what; nothing of that stays, or gets into a pipe."""
    for number in range(3):
        commands.add_user(f"user-{number}")
    with screen("fsck") as terminal:
        assert terminal.end() == 0
        assert "users 3" in terminal.shown or "names 3" in terminal.shown
        assert terminal.shown.rstrip().endswith("claims_dead         0")
    assert commands("fsck").stderr == ""


def test_giving_up_at_a_prompt_changes_nothing(commands: Commands, screen: Callable[..., Screen]) -> None:
    """The end of input (Ctrl-D) ends the command with 1, and nobody was added."""
    with screen("user", "add", "ada") as terminal:
        terminal.type("Password: ", "\x04")
        assert terminal.end() == 1
        assert "Aborted!" in terminal.shown
    assert commands("user", "show", "ada").exit_code == 1


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    """`| head` ends a long output without a traceback."""
    line = f"{sys.executable} -m session_service.cli config reference --json | head -c 1"
    shell = ["/bin/sh", "-c", line]
    ended = subprocess.run(shell, capture_output=True, text=True, check=False, timeout=60)
    assert ended.stdout == "{"
    assert "Traceback" not in ended.stderr
