"""The root of the command line."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Final

import click

from session_service.cli.commands import Root
from session_service.cli.settings import Settings
from session_service.stopping import interrupt

# Each is imported when it is named: a server carries none of the others' weight.
_MODULES: Final = {
    "serve": "session_service.cli.serve",
    "user": "session_service.cli.users",
    "sessions": "session_service.cli.sessions",
    "sweep": "session_service.cli.upkeep",
    "fsck": "session_service.cli.upkeep",
    "stats": "session_service.cli.upkeep",
    "keys": "session_service.cli.keys",
    "config": "session_service.cli.configuration",
}


@click.group(cls=Root, modules=_MODULES, context_settings={"help_option_names": ["-h", "--help"]})
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
