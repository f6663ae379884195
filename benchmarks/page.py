"""Writes what was measured into ``docs/performance.md``: ``python -m benchmarks.page``.

A row of a table whose first cell names figures gets their values from ``build/bench.json`` in its second.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_ROW: Final = re.compile(r"^\| (?P<what>`[^|]+) \| [^|]*\| (?P<bar>[^|]*)\|$")
_NAME: Final = re.compile(r"`([a-z0-9_]+)`")
_UNITS: Final = {
    "_us": " µs",
    "_us_per_token": " µs",
    "_ms": " ms",
    "_ms_p50": " ms",
    "_ms_p99": " ms",
    "ready_s": " s",
    "_mb": " MB",
}


def with_figures(page: str, figures: Mapping[str, float]) -> str:
    """The page with the values of these figures; rows of none of them stay as they are."""
    return "\n".join(_row(line, figures) for line in page.split("\n"))


def _row(line: str, figures: Mapping[str, float]) -> str:
    row = _ROW.match(line)
    if row is None:
        return line
    values = [_shown(name, figures[name]) for name in _NAME.findall(row["what"]) if name in figures]
    return f"| {row['what']} | {', '.join(values)} | {row['bar']}|" if values else line


def _shown(name: str, value: float) -> str:
    unit = next((unit for end, unit in _UNITS.items() if name.endswith(end)), "")
    number = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits are enough
    return number + unit


def main() -> None:
    """Fill the page in."""
    page = Path("docs/performance.md")
    figures = json.loads(Path("build/bench.json").read_text("utf-8"))
    page.write_text(with_figures(page.read_text("utf-8"), figures), "utf-8")


if __name__ == "__main__":
    main()
