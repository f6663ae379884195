"""``session-service keys``: signing keys in a file, and service keys. Needs no Redis."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from session_service.cli.commands import Group
from session_service.cli.failures import Refused
from session_service.cli.output import json_option, print_json, print_table
from session_service.config.display import as_yaml, service_key_document
from session_service.domain.service_keys import new_service_key, service_key_digest
from session_service.private_files import create_private, replace_private
from session_service.tokens.algorithms import KINDS
from session_service.tokens.keys import (
    KeyRing,
    Purpose,
    load_key_ring,
    new_document,
    new_key,
    prepend,
    read_document,
)

_path = click.Path(dir_okay=False, path_type=Path)


@click.group(cls=Group)
def keys() -> None:
    """Make and rotate signing keys; make service keys."""


@keys.command(examples=["keys new keys.json", "keys new --alg RS256 > keys.json"])
@click.argument("file", type=_path, required=False)
@click.option(
    "--alg", type=click.Choice(list(KINDS)), default="EdDSA", show_default=True, help="Of access tokens."
)
def new(*, file: Path | None, alg: str) -> None:
    """Make a key file with one key for access tokens and one for refresh tokens.

    FILE is made for you alone to read; without it the keys are printed. The configuration names it as
    tokens.key_file.
    """
    text = _text(new_document(alg))
    if file is None:
        click.echo(text, nl=False)
        return
    try:
        create_private(file, text)
    except FileExistsError:
        raise Refused(f"{file} is there already; 'keys rotate' puts a new key into it") from None
    click.echo(f"made; name it in the configuration as tokens.key_file: {file}", err=True)


@keys.command(examples=["keys rotate keys.json", "keys rotate keys.json --purpose refresh --keep 2"])
@click.argument("file", type=_path)
@click.option(
    "--purpose",
    type=click.Choice(["access", "refresh"]),
    default="access",
    show_default=True,
    help="Which tokens the new key signs.",
)
@click.option("--alg", type=click.Choice(list(KINDS)), help="Of the new key; else that of the present one.")
@click.option("--keep", type=click.IntRange(1), help="Keep so many keys, the new one included; else all.")
@json_option
def rotate(*, file: Path, purpose: Purpose, alg: str | None, keep: int | None, as_json: bool) -> None:
    """Put a new key first in FILE: it signs from now on, and the others go on verifying.

    What a dropped key has signed is invalid: access tokens live for session.token_expire, refresh tokens as
    long as their session. Servers with copies of FILE must get it at the same time: one without the new key
    refuses its tokens.
    """
    document = read_document(file)
    ring = KeyRing.from_document(document)
    present = ring.access[0] if purpose == "access" else ring.refresh[0]
    rotated = prepend(document, purpose, new_key(alg or present.alg))
    rotated[purpose]["keys"] = rotated[purpose]["keys"][:keep]
    replace_private(file, _text(rotated))
    _print_ring(file, as_json)
    click.echo("SIGHUP has a server read it again", err=True)


@keys.command("list", examples=["keys list keys.json"])
@click.argument("file", type=_path)
@json_option
def list_keys(*, file: Path, as_json: bool) -> None:
    """Check FILE and list its keys, without what is secret of them."""
    _print_ring(file, as_json)


@keys.command(examples=["keys service billing"])
@click.argument("name")
@click.option(
    "--role", "roles", multiple=True, metavar="ROLE", default=["admin"], show_default=True, help="Its roles."
)
@json_option
def service(*, name: str, roles: tuple[str, ...], as_json: bool) -> None:
    """Make a service key for the holder NAME.

    The key is shown this once; the configuration gets its digest. Callers send it as x-service-key.
    """
    key = new_service_key()
    document = service_key_document(name, service_key_digest(key), roles)
    if as_json:
        print_json({"key": key, **document})
        return
    click.echo(f"key, shown only here: {key}\n\nfor the configuration:\n\n{as_yaml(document)}", nl=False)


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2) + "\n"


def _print_ring(file: Path, as_json: bool) -> None:
    ring = load_key_ring(file)
    rows = [
        {"purpose": purpose, "kid": key.kid, "alg": key.alg, "signs": place == 0}
        for purpose, found in (("access", ring.access), ("refresh", ring.refresh))
        for place, key in enumerate(found)
    ]
    if as_json:
        print_json({"keys": rows})
    else:
        print_table(tuple(rows[0]), (tuple(row.values()) for row in rows))
