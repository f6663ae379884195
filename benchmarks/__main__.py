"""``make bench``: measure, print, write ``build/bench.json``; see the package."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from benchmarks.against_go import measure_against_go
from benchmarks.bench import Bench
from benchmarks.calls import measure_calls
from benchmarks.checks import measure_checks
from benchmarks.engines import PREFIXES
from benchmarks.errors import BenchmarkError
from benchmarks.figures import Figure
from benchmarks.load import LoadGenerator
from benchmarks.remembering import measure_remembering
from benchmarks.report import print_tables, write_json
from benchmarks.scale import FULL, QUICK, Scale
from benchmarks.sharing import measure_sharing
from benchmarks.sizes import measure_sizes
from benchmarks.ways import measure_ways
from benchmarks.worker import measure_worker

_PARTS: Final[tuple[Callable[[Bench], Iterator[Figure]], ...]] = (
    measure_against_go,
    measure_checks,
    measure_ways,
    measure_calls,
    measure_worker,
    measure_remembering,
    *(partial(measure_sharing, engine=engine, prefix=prefix) for engine, prefix in PREFIXES.items()),
    measure_sizes,
)


@click.command()
@click.option("--quick", is_flag=True, help="A short run that shows that all works; nothing is judged.")
@click.option(
    "--output", type=click.Path(path_type=Path), default=Path("build/bench.json"), show_default=True
)
def main(quick: bool, output: Path) -> None:
    """Measure what the service costs: twenty minutes, a table, and a file of numbers.

    Ends with exit code 1 if a figure is not within its bar, or could not be measured.
    """
    scale = QUICK if quick else FULL
    console = Console(width=None if sys.stdout.isatty() else 160)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        figures, failures = _measure(scale, Path(name))
    write_json(figures, output)
    print_tables(console, figures, judged=scale.judged)
    console.print(f"written to {output}")
    if failures:
        raise click.ClickException("not everything was measured:\n" + "\n".join(failures))
    sys.exit(scale.judged and not all(each.holds for each in figures))


def _measure(scale: Scale, directory: Path) -> tuple[list[Figure], list[str]]:
    """All figures, and why some are missing: a part that fails takes none of the others with it."""
    try:
        generator = LoadGenerator(directory)
    except BenchmarkError as error:
        raise click.ClickException(str(error)) from error
    bench = Bench(scale, directory, generator, lambda what: click.echo(what, err=True))
    figures: list[Figure] = []
    failures: list[str] = []
    for measure in _PARTS:
        try:
            figures.extend(measure(bench))
        except BenchmarkError as error:
            failures.append(str(error))
    return figures, failures


if __name__ == "__main__":
    main()
