"""The root of the command line: what every command shares, and how errors end it."""

from __future__ import annotations

import os
from pathlib import Path

import click

from session_service.cli.serve import serve
from session_service.config import Config, ConfigError, load_config
from session_service.development import Development, develop


class Settings:
    """The configuration that the options name, read when a command first asks for it."""

    def __init__(self, path: Path | None, dev: bool) -> None:
        self._path = path
        self.dev = dev

    def load(self) -> Config:
        """Read and check the configuration.

        Raises:
            click.ClickException: it cannot be used; every wrong key is named.
        """
        try:
            return load_config(self._path, os.environ)
        except ConfigError as error:
            raise click.ClickException(f"configuration:\n{error}") from error

    def develop(self) -> Development:
        """The configuration completed for development mode."""
        return develop(self.load())


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML file; SESSION_CONFIG if not given. SESSION_<SECTION>__<KEY> override it.",
)
@click.option("--dev", is_flag=True, help="Development mode: Redis, keys and a demo user made here.")
@click.pass_context
def main(context: click.Context, path: Path | None, dev: bool) -> None:
    """Log users in, check their tokens against live sessions, and end them."""
    context.obj = Settings(path, dev)


main.add_command(serve)
