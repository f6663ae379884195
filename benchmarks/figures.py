"""What a measurement comes to: a named figure, its spread, and the bar it must not exceed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.load import Result


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of ``build/bench.json``.

    Args:
        name: its name there.
        value: the median, where it was measured several times.
        lowest: the lowest of several; as ``value`` if it was measured once.
        highest: the highest of several, likewise.
        must: what it must not exceed; ``None`` = there is no such bar.
        least: what it must reach, likewise.
        note: what was measured.
    """

    name: str
    value: float
    lowest: float
    highest: float
    must: float | None = None
    note: str = ""
    least: float | None = None

    @property
    def holds(self) -> bool:
        """Whether it is within its bars, if it has any."""
        return (self.must is None or self.value <= self.must) and (
            self.least is None or self.value >= self.least
        )


def figure(
    name: str,
    values: Sequence[float],
    *,
    must: float | None = None,
    least: float | None = None,
    note: str = "",
) -> Figure:
    """A figure of what was measured once or several times."""
    return Figure(name, median(values), min(values), max(values), must, note, least)


def alternate(rounds: int, *runs: Callable[[], Result]) -> list[tuple[Result, ...]]:
    """Run all in turn (A B A B …) after a round that does not count; the results by rounds."""
    done = [tuple(run() for run in runs) for _ in range(rounds + 1)]
    return done[1:]


def method_figures(name: str, saturated: Sequence[Result], few: Result) -> list[Figure]:
    """The figures of a method: its row in the table of calls.

    Args:
        name: of the method, and what its figures begin with.
        saturated: with as many calls in flight as make throughput.
        few: with so few that latency is not queueing.
    """
    return [
        figure(f"{name}_cpu_us", [each.cpu_us for each in saturated]),
        figure(f"{name}_per_second", [each.rate for each in saturated]),
        figure(f"{name}_p50_ms", [few.p50_us / 1000]),
        figure(f"{name}_p99_ms", [few.p99_us / 1000]),
        figure(f"{name}_failed", [sum(each.failed for each in (*saturated, few))]),
    ]
