"""The root of the command line."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from session_service.cli.commands import Root
from session_service.cli.configuration import config
from session_service.cli.keys import keys
from session_service.cli.serve import serve
from session_service.cli.sessions import sessions
from session_service.cli.settings import Settings
from session_service.cli.upkeep import fsck, stats, sweep
from session_service.cli.users import user
from session_service.stopping import interrupt


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "path",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML file; SESSION_CONFIG if not given. SESSION_<SECTION>__<KEY> override it.",
)
@click.option("--dev", is_flag=True, help="Development mode: Redis, keys and a demo user made here.")
@click.option("-v", "--verbose", is_flag=True, help="Have commands show the log, on standard error.")
@click.version_option(package_name="session-service", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context, path: Path | None, dev: bool, verbose: bool) -> None:
    """Log users in, check their tokens against live sessions, and end them.

    Commands act on Redis itself, by the same rules and with the same audit trail as the server: they work
    whether or not it runs. Each tells more with --help.
    """
    # What was begun is ended in order, an embedded Redis too; a server takes over once it listens.
    signal.signal(signal.SIGTERM, interrupt)
    context.obj = Settings(path, dev=dev, verbose=verbose)


for command in (serve, user, sessions, sweep, fsck, stats, keys, config):
    main.add_command(command)
