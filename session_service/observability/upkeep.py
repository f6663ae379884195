"""Sweeps, whoever asks for them, counted as they end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from session_service.domain.models import Stats, SweepReport
from session_service.observability.metrics import SweepMetrics

Progress = Callable[[str, int], Awaitable[None]]


class Sweeper(Protocol):
    """A ``domain.ports.Upkeep`` that also tells how far it is."""

    async def sweep(self, progress: Progress | None = None) -> SweepReport:
        """Remove index entries without a session."""

    async def stats(self) -> Stats:
        """The totals."""


class WatchedUpkeep:
    """An ``Upkeep`` whose sweeps are counted.

    Args:
        inner: what sweeps.
        metrics: counts them.
    """

    def __init__(self, inner: Sweeper, metrics: SweepMetrics) -> None:
        self._inner = inner
        self._metrics = metrics

    async def sweep(self, progress: Progress | None = None) -> SweepReport:
        """Sweep, and count it unless another process was sweeping."""
        report = await self._inner.sweep(progress)
        if not report.busy:
            self._metrics.swept(report)
        return report

    async def stats(self) -> Stats:
        """The totals, without a scan."""
        return await self._inner.stats()
