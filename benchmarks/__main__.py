"""``make bench``: measure, print, write ``build/bench.json``; see the package."""

from __future__ import annotations

import sys
import tempfile
from itertools import chain
from pathlib import Path

import click
from rich.console import Console

from benchmarks.against_go import measure_against_go
from benchmarks.bench import Bench
from benchmarks.calls import measure_calls
from benchmarks.checks import measure_checks
from benchmarks.engines import PREFIXES
from benchmarks.errors import BenchmarkError
from benchmarks.load import LoadGenerator
from benchmarks.remembering import measure_remembering
from benchmarks.report import print_tables, write_json
from benchmarks.scale import FULL, QUICK
from benchmarks.sharing import measure_sharing
from benchmarks.sizes import measure_sizes
from benchmarks.ways import measure_ways
from benchmarks.worker import measure_worker


@click.command()
@click.option("--quick", is_flag=True, help="A short run that shows that all works; nothing is judged.")
@click.option(
    "--output", type=click.Path(path_type=Path), default=Path("build/bench.json"), show_default=True
)
def main(quick: bool, output: Path) -> None:
    """Measure what the service costs: a quarter of an hour, a table, and a file of numbers.

    Ends with exit code 1 if a figure is not within its bar.
    """
    scale = QUICK if quick else FULL
    console = Console(width=None if sys.stdout.isatty() else 160)
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            bench = Bench(
                scale, Path(name), LoadGenerator(Path(name)), lambda what: click.echo(what, err=True)
            )
            measured = (
                measure_against_go(bench),
                measure_checks(bench),
                measure_ways(bench),
                measure_calls(bench),
                measure_worker(bench),
                measure_remembering(bench),
                *(measure_sharing(bench, *each) for each in PREFIXES.items()),
                measure_sizes(bench),
            )
            figures = [*chain.from_iterable(measured)]
    except BenchmarkError as error:
        raise click.ClickException(str(error)) from error
    write_json(figures, output)
    print_tables(console, figures, judged=scale.judged)
    console.print(f"written to {output}")
    sys.exit(scale.judged and not all(each.holds for each in figures))


if __name__ == "__main__":
    main()
