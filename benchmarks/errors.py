"""What ends a benchmark early."""

from __future__ import annotations


class BenchmarkError(Exception):
    """Something is missing here, or a measured call failed; ``str()`` says what."""
