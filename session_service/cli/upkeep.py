"""``session-service sweep``, ``fsck`` and ``stats``: looking after what is in Redis."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from session_service.cli.commands import Command
from session_service.cli.failures import Refused
from session_service.cli.output import instant, json_option, print_facts, print_json
from session_service.cli.settings import Settings, pass_settings


@click.command(cls=Command, examples=["sweep"])
@json_option
@pass_settings
def sweep(settings: Settings, *, as_json: bool) -> None:
    """Remove dead index entries, and count live sessions.

    Dead are those whose session has expired.
    The server does so by itself every few minutes. Refused while another sweep is under way.
    """
    with _progress() as tell:
        report = settings.run(lambda backend: backend.upkeep.sweep(tell))
    if report.busy:
        raise Refused("another sweep is under way; if it died, its lock ends within 30 seconds")
    if as_json:
        print_json({"scanned_entries": report.scanned, "removed_entries": report.removed})
    else:
        click.echo(f"index entries scanned: {report.scanned:,}, removed: {report.removed:,}")


@click.command(cls=Command, examples=["fsck", "fsck --repair"])
@click.option("--repair", is_flag=True, help="Mend what is found.")
@json_option
@pass_settings
def fsck(settings: Settings, *, repair: bool, as_json: bool) -> None:
    """Find keys that contradict each other.

    That happens from outside: a restored backup, keys deleted by hand or evicted, a node lost. Exits with 1
    if something is wrong still in the end.
    """
    with _progress() as tell:
        report = settings.run(lambda backend: backend.fsck.run(repair=repair, progress=tell))
    left = report.left(repaired=repair)
    if as_json:
        print_json({**asdict(report), "repaired": repair, "left": left})
    else:
        print_facts(asdict(report))
    if left and repair:
        raise Refused(f"users whose name another user has: {left:,}; delete one of each two")
    if left:
        raise Refused(f"wrong: {left:,} ({', '.join(report.wrong)}); --repair mends it")


@click.command(cls=Command, examples=["stats", "stats --json"])
@json_option
@pass_settings
def stats(settings: Settings, *, as_json: bool) -> None:
    """Show how many sessions and users there are.

    Sessions were counted at counted_time, by the last sweep; those created and ended since then are added
    and taken off, and expired ones show at the next sweep.
    """
    found = settings.run(lambda backend: backend.upkeep.stats())
    document = {
        "active_sessions": found.active_sessions,
        "users": found.users,
        "counted_time": instant(found.counted_ms),
        "created_sessions": found.created_sessions,
        "ended_sessions": found.ended_sessions,
    }
    if as_json:
        print_json(document)
    else:
        print_facts(document)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str, int], Awaitable[None]]]:
    """Show on standard error, if that is a terminal, what is being looked at and how many were."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description} {task.completed:,}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("")

        async def tell(what: str, seen: int) -> None:
            bar.update(task, description=what, completed=seen)

        yield tell
