"""``session-service config``: what is configured, what could be, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import click

from session_service.cli.commands import Group
from session_service.cli.failures import Misused
from session_service.cli.output import json_option, print_json, print_table
from session_service.cli.settings import Settings, pass_settings
from session_service.config import Config, ConfigError, config_reference, missing_to_serve
from session_service.config.display import as_document, as_yaml, named_files
from session_service.tokens.keys import KeyRingError, load_key_ring


@click.group(cls=Group)
def config() -> None:
    """Check and show the configuration."""


@config.command(examples=["--config session.yaml config check"])
@json_option
@pass_settings
def check(settings: Settings, *, as_json: bool) -> None:
    """Say whether a server could start with the configuration, or every key that is wrong.

    Opens the files it names, but asks nothing of Redis.
    """
    problems = list(_problems(settings))
    if as_json:
        print_json({"problems": problems})
    if problems:
        raise Misused("configuration:\n" + "\n".join(problems))
    if not as_json:
        click.echo("the configuration is good")


@config.command(examples=["--config session.yaml config show", "config show --json"])
@json_option
@pass_settings
def show(settings: Settings, *, as_json: bool) -> None:
    """Show the configuration in effect: file, environment and defaults; secrets as stars."""
    document = as_document(settings.load())
    if as_json:
        print_json(document)
    else:
        click.echo(as_yaml(document), nl=False)


@config.command(examples=["config reference", "config reference | grep expire"])
@json_option
def reference(*, as_json: bool) -> None:
    """Show every key there is: its kind, its default and what it means."""
    entries = [asdict(each) for each in config_reference()]
    if as_json:
        print_json({"keys": entries})
        return
    columns = ("key", "kind", "default", "description")
    print_table(columns, ([entry[name] for name in columns] for entry in entries))


def _problems(settings: Settings) -> Iterator[str]:
    try:
        loaded = settings.load()
    except ConfigError as error:
        yield from error.problems
        return
    yield from missing_to_serve(loaded)
    yield from _unusable_keys(loaded, made_if_missing=settings.dev)
    for key, path in named_files(loaded).items():
        try:
            path.open("rb").close()
        except OSError as error:
            yield f"{key}: cannot read {path}: {error.strerror}"


def _unusable_keys(loaded: Config, *, made_if_missing: bool) -> Iterator[str]:
    key_file = loaded.tokens.key_file
    if key_file is None or (made_if_missing and not key_file.exists()):
        return
    try:
        load_key_ring(key_file)
    except KeyRingError as error:
        yield f"tokens.key_file: {error}"
