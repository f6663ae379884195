"""What commands print: tables for people, JSON for programs. Both go to standard output.

JSON has the field names of the API and instants as RFC 3339 in UTC. Text that came from elsewhere,
such as a device's name, cannot move the cursor or colour the screen.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

_UNBOUND: Final = 100_000
"""Columns of what is no terminal: a pipe gets every line whole."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def instant(unix_ms: int) -> str | None:
    """An instant in Unix milliseconds as RFC 3339 in UTC; ``None`` for 0."""
    if not unix_ms:
        return None
    moment = datetime.fromtimestamp(unix_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def print_json(document: Mapping[str, Any]) -> None:
    """Print a document."""
    click.echo(json.dumps(document, indent=2))


def print_count(name: str, label: str, count: int, as_json: bool) -> None:
    """Print a single number, under its name in the API or in words."""
    if as_json:
        print_json({name: count})
    else:
        click.echo(f"{label}: {count:,}")


def print_total(what: str, listed: int, total: int) -> None:
    """Say how many there are and, if not all were listed, how to see them."""
    more = "" if listed == total else f", {listed:,} listed; --limit 0 lists all"
    click.echo(f"{what}: {total:,}{more}")


def print_facts(facts: Mapping[str, object]) -> None:
    """Print names and values, one a line."""
    width = max(map(len, facts))
    for name, value in facts.items():
        click.echo(f"{name:<{width}}  {_shown(value)}".rstrip())


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows as a table or, where that is wider than the terminal, as blocks of names and values."""
    cells = [[_shown(value) for value in row] for row in rows]
    if not cells:
        return
    console = _console()
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(column.replace("_", " "), no_wrap=True)
    for row in cells:
        table.add_row(*map(Text, row))
    wanted = Measurement.get(console, console.options.update(width=_UNBOUND), table).maximum
    if wanted <= console.width:
        console.print(table)
        return
    for row in cells:
        print_facts(dict(zip(columns, row, strict=True)))
        click.echo()


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _UNBOUND
    return console


def _shown(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case list() | tuple():
            return " ".join(map(_shown, value)) or "-"
        case _:
            return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in str(value))
