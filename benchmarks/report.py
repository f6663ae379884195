"""The table that people read, and the numbers that programs read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure

METHODS: Final = (
    *(f"{engine}{method}" for method in ("empty_handler", "verify_token") for engine in ("", "grpc_aio_")),
    *(
        f"{engine}{method}"
        for method in ("list_sessions", "refresh_token", "logout")
        for engine in ("", "grpc_aio_")
    ),
    "login",
)
_COLUMNS: Final = {
    "cpu_us": "CPU per call, µs",
    "per_second": "calls/s at saturation",
    "p50_ms": "p50, ms",
    "p99_ms": "p99, ms",
    "failed": "failed calls",
}


def write_json(figures: Sequence[Figure], path: Path) -> None:
    """Write ``{name: number}``."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        json.dumps({each.name: round(each.value, 4) for each in figures}, indent=2) + "\n", encoding="utf-8"
    )


def print_tables(console: Console, figures: Sequence[Figure], *, judged: bool) -> None:
    """Print what each call costs, then the figures that have a name of their own.

    Args:
        console: where to.
        figures: all of them.
        judged: whether to say which figures are within their bars.
    """
    values = {each.name: each.value for each in figures}
    calls = Table("", *_COLUMNS.values(), title="Calls (latencies with 8 in flight)")
    in_calls = set()
    for method in METHODS:
        names = [f"{method}_{column}" for column in _COLUMNS]
        if names[0] not in values:
            continue  # could not be measured
        in_calls.update(names)
        calls.add_row(method, *(_shown(values[name]) for name in names))
    console.print(calls)
    others = Table("", "", "from … to", "must", "", title="Figures (medians)")
    for each in figures:
        if each.name not in in_calls:
            others.add_row(each.name, *_row(each, judged=judged), each.note)
    console.print(others)
    if not judged:
        console.print("too short a run to judge: a figure beyond its bar means nothing here")


def _row(each: Figure, *, judged: bool) -> tuple[str, str, str]:
    spread = "" if each.lowest == each.highest else f"{_shown(each.lowest)} … {_shown(each.highest)}"
    if each.must is None and each.least is None:
        return _shown(each.value), spread, "printed"
    verdict = ("  [green]holds[/]" if each.holds else "  [red]missed[/]") if judged else ""
    bar = f"≥ {each.least:g}" if each.must is None else f"≤ {each.must:g}"
    return _shown(each.value), spread, bar + verdict


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits are enough
