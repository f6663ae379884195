"""The clock that staleness is measured by: it never jumps, and it goes on while the machine sleeps.

``time.monotonic`` stands still while a machine is suspended, on Linux and on macOS: what was remembered
before would still look fresh after. Inside a virtual machine that its host pauses, no clock knows of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

# On macOS, which has no boot clock, CLOCK_MONOTONIC goes on and is not what `time.monotonic` reads.
_CLOCK: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))

steady: Final[Callable[[], float]] = time.monotonic if _CLOCK is None else partial(time.clock_gettime, _CLOCK)
"""Seconds since some moment."""
