"""What staleness is measured by."""

from __future__ import annotations

import time

import pytest

from session_service.domain.steady import steady


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="this system has no such clock")
def test_it_counts_time_asleep() -> None:
    """It is the clock that does not stand still while the machine is suspended."""
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= steady() <= time.clock_gettime(time.CLOCK_BOOTTIME)
