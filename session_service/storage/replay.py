"""Recently ended sessions, ended once more wherever a primary is found anew.

Replication is asynchronous: a replica that becomes the primary may not have heard of the last moments, and
a session that was ended would live again. ``wait_replicas`` makes that unlikely by waiting; this mends what
is left, also where nobody waits and where Redis came back from a file that lacks its last second.
Ending twice is harmless: session ids are never used again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Final

from session_service.storage import keys
from session_service.storage.faults import fault_code
from session_service.storage.link import FailedReplies

if TYPE_CHECKING:
    from session_service.storage.link import Command, Link

REMEMBERED: Final = 10_000
"""Ends kept in memory, about 2 MB."""

_SECONDS: Final = 60.0
_CHUNK: Final = 200
# Another primary of the cluster has this slot; it is told over its own link.
_ELSEWHERE: Final = frozenset({"MOVED", "ASK", "TRYAGAIN"})


class RecentEnds:
    """Remembers the ends of the last minute before Redis was lost, and replays them."""

    def __init__(self) -> None:
        self._ends: deque[tuple[float, str, str]] = deque(maxlen=REMEMBERED)

    def note(self, user_id: str, session_ids: Iterable[str]) -> None:
        """Remember sessions that were ended, or may have been."""
        now = time.monotonic()
        # Only here: while Redis is away nothing ends, and so nothing is forgotten either.
        while self._ends and self._ends[0][0] < now - _SECONDS:
            self._ends.popleft()
        self._ends.extend((now, user_id, session_id) for session_id in session_ids)

    async def replay(self, link: Link) -> None:
        """End them again over a link that was just opened, before anybody reads over it.

        Raises:
            StoreUnavailable: the link was lost meanwhile.
            redis.exceptions.ResponseError: Redis refuses.
        """
        ends = iter(tuple(self._ends))
        while chunk := tuple(islice(ends, _CHUNK)):
            try:
                await link.send(tuple(command for _, *end in chunk for command in _ending(*end)))
            except FailedReplies as failed:
                for error in failed.errors:
                    if fault_code(error) not in _ELSEWHERE:
                        raise error from None


def _ending(user_id: str, session_id: str) -> tuple[Command, Command]:
    # Without its session a token is worth nothing; it expires by itself.
    return (
        ("DEL", keys.session(user_id, session_id)),
        ("ZREM", keys.session_index(user_id), session_id),
    )
