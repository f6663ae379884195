"""Figures: medians, spreads, bars, and pairs of neighbours."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

from rich.console import Console

from benchmarks.figures import Figure, alternate, figure
from benchmarks.load import Result
from benchmarks.page import with_figures
from benchmarks.report import METHODS, print_tables, write_json
from tests.benchmarks.test_benchmarks import MEASURED_FIGURES


def test_a_figure_is_a_median_with_its_spread() -> None:
    """Of several measurements the median counts, and the lowest and the highest are told."""
    assert figure("f", [3.0, 1.0, 9.0]) == Figure("f", 3.0, lowest=1.0, highest=9.0)


def test_a_bar_is_kept_up_to_its_own_value() -> None:
    """A figure holds at its bar and below it; without a bar it always holds."""
    assert figure("f", [1.25], must=1.25).holds
    assert not figure("f", [1.26], must=1.25).holds
    assert figure("f", [1e9]).holds


def test_loads_alternate_and_the_first_round_does_not_count() -> None:
    """A B A B …: a pair is of neighbours, and what warms up is left out."""
    order: list[str] = []

    def run(name: str) -> Result:
        order.append(name)
        return Result(calls=len(order), failed=0, seconds=1.0, p50_us=1.0, p99_us=1.0, cpu_us=1.0)

    pairs = alternate(2, lambda: run("a"), lambda: run("b"))
    assert "".join(order) == "ababab"
    assert [(first.calls, second.calls) for first, second in pairs] == [(3, 4), (5, 6)]


def test_the_report_names_what_missed_its_bar(tmp_path: Path) -> None:
    """The table says of each bar whether it holds; the file has plain numbers by name."""
    columns = ("cpu_us", "per_second", "p50_ms", "p99_ms", "failed")
    figures = [figure(f"{method}_{column}", [1.0]) for method in METHODS for column in columns]
    figures += [figure("good_ratio", [1.0], must=2.0), figure("bad_ratio", [3.0], must=2.0)]
    printed = io.StringIO()
    print_tables(Console(width=160, file=printed), figures, judged=True)
    lines = printed.getvalue().splitlines()
    assert any("good_ratio" in line and "holds" in line for line in lines)
    assert any("bad_ratio" in line and "missed" in line for line in lines)
    write_json(figures, tmp_path / "build" / "bench.json")
    assert json.loads((tmp_path / "build" / "bench.json").read_text())["bad_ratio"] == 3.0


def test_the_page_gets_its_values_from_the_file() -> None:
    """Rows that name figures have their values replaced; all other text stays."""
    page = "# Title\n| figure | is | bar |\n| `a_us`, `b`: what | 1 | ≤ 2 |\n| `other` | 3 | |\n"
    filled = with_figures(page, {"a_us": 12.345, "b": 45678.9})
    assert filled.split("\n")[2] == "| `a_us`, `b`: what | 12.3 µs, 45,679 | ≤ 2 |"
    assert filled.replace("12.3 µs, 45,679", "1") == page


def test_the_page_names_only_figures_that_are_measured() -> None:
    """A name on the page that no run measures would never be filled in."""
    page = (Path(__file__).parents[2] / "docs" / "performance.md").read_text("utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([a-z0-9_]+)`", row)}
    assert named <= MEASURED_FIGURES
