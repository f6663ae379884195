"""What requests ask, remembered by their bytes where to read them is much of what a call costs."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

from session_service.domain.checks import Asked

# At most so long: about 1 KB each, 2.5 at most.
_REMEMBERED: Final = 16_384
_LONGEST: Final = 1_024


class NewRequest(NamedTuple):
    """A request that is to be remembered if its token is good."""

    message: bytes
    asked: Asked


class Requests:
    """What requests of one kind ask; the oldest goes first.

    Only those whose token was good are to be kept, so that nobody without one fills the memory. And never one
    that does not say itself whose token it asks about: the metadata of the next call may name another.
    """

    def __init__(self) -> None:
        self._asked: OrderedDict[bytes, Asked] = OrderedDict()
        self.get = self._asked.get

    def keep(self, new: NewRequest) -> None:
        """Remember one, unless it is long."""
        if len(new.message) <= _LONGEST:
            self._asked[new.message] = new.asked
            if len(self._asked) > _REMEMBERED:
                self._asked.popitem(last=False)
