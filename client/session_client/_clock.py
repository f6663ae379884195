"""The clock that staleness is measured by: it never jumps, and it goes on while the machine sleeps.

The usual monotonic clock stands still while a machine is suspended, so that what was remembered before
would still look fresh after.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

_BOOT_CLOCK: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)

steady: Final[Callable[[], float]] = (
    time.monotonic if _BOOT_CLOCK is None else partial(time.clock_gettime, _BOOT_CLOCK)
)
"""Seconds since some moment."""
