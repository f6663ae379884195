"""Whether to hold reads back for a moment, so that more of them share a round trip.

A round trip costs this process two system calls, a wake-up of Redis and a turn of its loop: half as
much as an empty call on ``grpc.aio``. Where many callers wait at once, sharing trips lets more of their calls
through (half as many more, measured with 64 in flight), and so each of them waits less. Where few do, each
would only wait longer. How many there are cannot be seen from here, as they queue inside gRPC. So it is tried
out: a look at what gets through as things are, one at what does while reads are held back, and then whichever
was better for a while. A trial that failed is repeated ever more rarely.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

HOLD: Final = 0.001
"""Seconds to hold reads back: the shortest time that an event loop can wait."""

_LOOK: Final = 0.1
"""Seconds of a look: some hundreds of calls, so that chance makes a twentieth of their number."""

_GAIN: Final = 1.2
"""How many times as many calls must get through for reads to be held back: more than chance makes."""

_BUSY: Final = 2_000.0
"""Calls per second below which there is nothing to share."""

_KEPT: Final = 2.0
"""Seconds for which reads are held back after a good trial."""

_FIRST_REST: Final = 0.25
_LONGEST_REST: Final = 8.0
"""Seconds before another trial after a bad one: twice as many each time, up to the longest."""


class _Phase(Enum):
    USUAL = "what gets through as things are"
    TRIAL = "what gets through while reads are held back"
    KEPT = "that was more"
    REST = "that was not more"


class Gathering:
    """Decides by comparing how many calls per second get through with holding back and without."""

    __slots__ = ("_calls", "_phase", "_rest", "_since", "_span", "_usual", "holds")

    def __init__(self) -> None:
        self.holds = False
        """Whether to hold back the reads of the next trip."""
        self._rest = _FIRST_REST
        self._usual = 0.0
        self._calls = 0
        self._since = float("-inf")
        self._begin(_Phase.USUAL, _LOOK)

    def left(self, calls: int, now: float) -> None:
        """Note that so many calls left together.

        Args:
            calls: how many shared the trip.
            now: seconds on a clock that only goes forwards.
        """
        self._calls += calls
        passed = now - self._since
        if passed < self._span:
            return
        # Where nobody came for a while a look says nothing.
        cut_off = self._span == _LOOK and passed > 2 * _LOOK
        rate = 0.0 if cut_off else self._calls / passed
        self._calls, self._since = 0, now
        self._go_on(rate)

    def _go_on(self, rate: float) -> None:
        if self._phase is _Phase.USUAL and rate >= _BUSY:
            self._usual = rate
            self._begin(_Phase.TRIAL, _LOOK)
        elif self._phase is _Phase.TRIAL and rate > self._usual * _GAIN:
            self._rest = _FIRST_REST
            self._begin(_Phase.KEPT, _KEPT)
        elif self._phase is _Phase.TRIAL:
            self._begin(_Phase.REST, self._rest)
            self._rest = min(2 * self._rest, _LONGEST_REST)
        else:
            self._begin(_Phase.USUAL, _LOOK)

    def _begin(self, phase: _Phase, span: float) -> None:
        self._phase, self._span = phase, span
        self.holds = phase in {_Phase.TRIAL, _Phase.KEPT}
