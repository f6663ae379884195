"""Whether to hold reads back for a moment, so that more of them share a round trip.

A round trip costs this process two system calls, a wake-up of Redis and a turn of its loop: half as
much as an empty call on ``grpc.aio``. Where many callers wait at once, sharing trips lets more of their calls
through (a third more, measured with 64 in flight), and so each of them waits less. Where few do, each would
only wait longer. How many there are cannot be seen from here, as they queue inside gRPC. So holding back is
tried out now and then, and kept up while more calls get through than before.
"""

from __future__ import annotations

from typing import Final

HOLD: Final = 0.001
"""Seconds to hold reads back: the shortest time that an event loop can wait."""

_WINDOW: Final = 0.25
"""Seconds after which what got through is looked at."""

_PAUSE: Final = 1.0
"""Seconds that were a pause, of which a rate says nothing: what held before it holds on."""

_TRIAL: Final = 8
"""Trips of a trial: some 10 ms, so that it costs few callers little."""

_BUSY: Final = 2_000.0
"""Calls per second below which there is nothing to share."""

_GAIN: Final = 1.05
"""How many times as many calls must get through for holding back to be kept up."""


class Gathering:
    """Decides by comparing how many calls per second get through with holding back and without."""

    __slots__ = ("_calls", "_on_trial", "_since", "_trips", "_usual_rate", "holds")

    def __init__(self) -> None:
        self.holds = False
        """Whether to hold back the reads of the next trip."""
        self._on_trial = False
        self._usual_rate = 0.0
        self._since = 0.0
        self._calls = self._trips = 0

    def left(self, calls: int, now: float) -> None:
        """Note that so many calls left together.

        Args:
            calls: how many shared the trip.
            now: seconds on a clock that only goes forwards.
        """
        self._calls += calls
        self._trips += 1
        passed = now - self._since
        if self._trips >= _TRIAL if self._on_trial else passed >= _WINDOW:
            if passed < _PAUSE:
                self._decide(self._calls / passed)
            elif self._trips < _TRIAL:
                self.holds = self._on_trial = False
            self._calls = self._trips = 0
            self._since = now

    def _decide(self, rate: float) -> None:
        if self.holds:
            self._on_trial = False
            self.holds = rate > self._usual_rate * _GAIN
        else:
            self._usual_rate = rate
            self._on_trial = self.holds = rate >= _BUSY
