"""The root of the command line."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING

import click
import pytest

from session_service.cli.commands import Command
from session_service.cli.main import main

if TYPE_CHECKING:
    from tests.support.command_line import Commands


def every_command(
    group: click.Group = main, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Command]]:
    """Each command with the words that name it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from every_command(command, (*path, name))
        else:
            assert isinstance(command, Command)
            yield (*path, name), command


EVERY = dict(every_command())


def test_the_version_is_the_distributions(commands: Commands) -> None:
    """`--version` names the program and its version."""
    assert commands("--version").stdout == f"session-service {version('session-service')}\n"


def test_the_help_tells_commands_and_exit_codes(commands: Commands) -> None:
    """Whoever knows nothing finds the commands, and what a script may rely on."""
    shown = commands("--help").stdout

    assert all(f"\n  {name} " in shown for name in main.commands)
    assert all(f"\n  {code}  " in shown for code in range(4))


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_each_help_teaches_by_examples(commands: Commands, path: tuple[str, ...]) -> None:
    """A command says what it does, what each option is for, and shows itself in use."""
    command = EVERY[path]
    shown = commands(*path, "--help").stdout

    assert command.help
    assert command.examples
    assert all(f"\n  session-service {example}\n" in shown for example in command.examples)
    assert all(each.help for each in command.params if isinstance(each, click.Option))


@pytest.mark.parametrize(
    ("path", "example"),
    [(path, example) for path, command in EVERY.items() for example in command.examples],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_example_parses(path: tuple[str, ...], example: str) -> None:
    """An example is a line that the command takes, for the command it stands at."""
    words = re.split("[<>|]", example, maxsplit=1)[0].split()
    words = [word for word in words if word not in {"--dev", "--config", "session.yaml"}]

    assert tuple(words[: len(path)]) == path
    EVERY[path].make_context(path[-1], words[len(path) :])


def test_no_option_takes_a_secret() -> None:
    """Arguments can be read by every user of the machine: no password, hash, key or token is one."""
    words = {"password", "hash", "key", "token", "secret"}
    taking = [
        (path, parameter.name)
        for path, command in EVERY.items()
        for parameter in command.params
        if not getattr(parameter, "is_flag", False) and words & set(str(parameter.name).split("_"))
    ]

    assert taking == []


def test_an_unknown_command_is_wrong_use(commands: Commands) -> None:
    """Exit code 2, and nothing on standard output."""
    result = commands("users")
    assert (result.exit_code, result.stdout) == (2, "")


def test_a_configuration_that_is_not_there_is_wrong_use(commands: Commands) -> None:
    """The file is named."""
    result = commands("--config", "/nowhere/session.yaml", "stats")
    assert result.exit_code == 2
    assert "/nowhere/session.yaml" in result.stderr


def test_a_wrong_configuration_is_told_by_key_and_without_its_value(commands: Commands) -> None:
    """Exit code 2 and the key; what was set may be a password in the wrong place."""
    commands.environment["SESSION_REDIS__PORT"] = "hush-a-password"

    result = commands("stats")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: redis.port (SESSION_REDIS__PORT): ")
    assert "hush" not in result.output


def test_without_a_redis_commands_do_not_guess_one(commands: Commands) -> None:
    """No command acts on whatever listens on localhost."""
    result = commands("user", "list")
    assert result.exit_code == 2
    assert "redis is not configured: set one of redis.url, redis.host" in result.stderr


def test_where_only_the_client_is_installed_the_extra_is_named() -> None:
    """One line instead of a traceback: the command is there without what it needs."""
    hide = "import sys; sys.modules['click'] = None; import session_service.cli"
    ended = subprocess.run([sys.executable, "-c", hide], check=False, capture_output=True, text=True)

    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "pip install 'session-service[server]'" in ended.stderr
