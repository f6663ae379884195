"""What every command has: a help that ends with examples, and errors that end it in order."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Final

import click

from session_service.cli.failures import FAILING, failure

_EXIT_CODES: Final = [
    ("0", "done"),
    ("1", "refused: not found, already there, a value out of its limits, drift found"),
    ("2", "the command line or the configuration is wrong"),
    ("3", "Redis is not available"),
]


class Command(click.Command):
    """A command whose help ends with examples.

    Args:
        examples: lines that can be pasted, less `session-service`.
        **attributes: as for ``click.Command``.
    """

    def __init__(self, *, examples: Sequence[str] = (), **attributes: Any) -> None:
        super().__init__(**attributes)
        self.examples = tuple(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples as they are."""
        super().format_epilog(ctx, formatter)
        if self.examples:
            name = ctx.find_root().info_name
            with formatter.section("Examples"):
                formatter.write("".join(f"  {name} {example}\n" for example in self.examples))


class Group(click.Group):
    """Commands under one name."""

    command_class = Command


class Root(Group):
    """The command line; its commands may let the errors of the layers below pass.

    Args:
        modules: where the command of each name is.
        **attributes: as for ``click.Group``.
    """

    def __init__(self, *, modules: Mapping[str, str], **attributes: Any) -> None:
        super().__init__(**attributes)
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - as click has it
        """The names of all commands, in the order in which help shows them."""
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - likewise
        """The command of a name; ``None`` if there is none."""
        module = self._modules.get(cmd_name)
        if module is None:
            return None
        command: click.Command = getattr(import_module(module), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - as click has it
        """Run the command that the arguments name.

        Raises:
            click.ClickException: in place of an error that has an exit code.
        """
        try:
            return super().invoke(ctx)
        except FAILING as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise
            raise failure(error) from error

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the exit codes."""
        super().format_epilog(ctx, formatter)
        with formatter.section("Exit codes"):
            formatter.write_dl(_EXIT_CODES)
