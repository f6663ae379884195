"""Reading sessions so that their changes are told; see ``domain.watching.SessionWatches``.

One round trip: ``GET token:…`` and ``HMGET user_session:…``, both tracked, and the ``PTTL`` of both. Expiry
is not left to be told of: Redis finds expired keys when it comes by, and tells only then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from session_service.domain.watching import Watch, WatchedState
from session_service.storage import keys
from session_service.storage.questions import LIVE_FIELDS, live_state
from session_service.storage.tracking import CACHING

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from session_service.storage.reads import Reads
    from session_service.storage.tracking import Tracking

_NO_EXPIRY: Final = -1
_LONGEST_MS: Final = 86_400_000


class RedisSessionWatches:
    """Reads over tracked links.

    Args:
        reads: the pipelined way to the primary.
        tracking: of its links.
    """

    def __init__(self, reads: Reads, tracking: Tracking) -> None:
        self._reads = reads
        self._tracking = tracking

    async def read(self, user_id: str, session_id: str, token_id: str, watch: Watch) -> WatchedState | None:
        """The session and one of its tokens, watched from before the read on; ``None`` if it is not alive."""
        session, token = keys.session(user_id, session_id), keys.token(user_id, token_id)
        self._tracking.register(watch, (session.encode(), token.encode()))
        replies, link = await self._reads.track(
            session,
            CACHING,
            ("GET", token),
            CACHING,
            ("HMGET", session, *LIVE_FIELDS),
            ("PTTL", token),
            ("PTTL", session),
        )
        self._tracking.follow(watch, link)
        _, owner, _, fields, *lives = replies
        live = live_state(owner, fields)
        return None if live is None else WatchedState(live, min(map(_seconds, lives)))

    @property
    def left(self) -> int:
        """How many more answers may be followed."""
        return self._tracking.left

    def forget(self, watch: Watch) -> None:
        """Tell it of nothing any more."""
        self._tracking.forget(watch)

    def end_all(self) -> None:
        """Tell every watch; see ``SessionWatches``."""
        self._tracking.end_all()

    def caught_up(self) -> Awaitable[None]:
        """Wait until everything has been told that was acknowledged before this call."""
        return self._tracking.caught_up()


def _seconds(pttl: int) -> float:
    return (_LONGEST_MS if pttl == _NO_EXPIRY else max(pttl, 0)) / 1000
