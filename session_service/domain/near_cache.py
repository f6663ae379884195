"""Answers of recent checks in this process's memory, for callers who say how stale they may be.

An entry is filled by a strict read and dropped the moment that the store tells of a change; in between it
serves a caller only while the store's feed has been confirmed within the bound of that caller.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from session_service.domain.models import Identity
from session_service.domain.watching import SessionWatches, Watch

NEAR_CACHE_SIZE: Final = 32_768
"""Answers that are remembered, about 1 KB each."""


# So many in a row at most, lest one answer wait while all are looked at.
_CHANCES: Final = 16


class Remembered(Watch):
    """An answer, or the place for one that is being asked for."""

    __slots__ = ("_cache", "identity", "token_id", "until", "used")

    def __init__(self, cache: NearCache, token_id: str) -> None:
        super().__init__()
        self._cache = cache
        self.token_id = token_id
        self.identity: Identity | None = None
        self.until = 0.0
        self.used = False
        """Since the cache last thought of letting it go."""

    def ended(self) -> None:
        """Leave the cache."""
        self._cache.drop(self)


class NearCache:
    """Remembers the identities of tokens; the oldest goes first, but who was used has a second chance.

    Args:
        watches: tells of changes.
        clock: the steady clock.
        size: how many are remembered.
    """

    def __init__(
        self, watches: SessionWatches, clock: Callable[[], float], size: int = NEAR_CACHE_SIZE
    ) -> None:
        self._watches = watches
        self._clock = clock
        self._size = size
        self._entries: OrderedDict[str, Remembered] = OrderedDict()

    def __contains__(self, token_id: str) -> bool:
        """Whether the token's answer is remembered, however stale, or being asked for."""
        return token_id in self._entries

    def get(self, token_id: str, max_staleness: float) -> Identity | None:
        """What is remembered of a token, if it held at some moment within so many seconds.

        As soon as half of the bound has passed the store is asked for a sign, ahead of need: so a token in
        steady use stays at hand without a caller ever waiting, and one out of use costs nothing.
        """
        entry = self._entries.get(token_id)
        if entry is None or (feed := entry.feed) is None:
            return None
        now = self._clock()
        age = now - feed.confirmed
        if age > max_staleness or now >= entry.until:
            return None
        if age > max_staleness / 2:
            feed.confirm_soon()
        # To keep them in the order of their use would cost as much as all the rest.
        entry.used = True
        return entry.identity

    def place(self, token_id: str) -> Remembered:
        """A place for an answer about to be asked for; to be kept or dropped."""
        entry = self._entries[token_id] = Remembered(self, token_id)
        return entry

    def keep(self, entry: Remembered, identity: Identity, until: float) -> None:
        """Fill the place, unless it was told of a change already.

        Args:
            entry: of ``place``.
            identity: the answer.
            until: moment of the steady clock from which the store is to be asked: session or token expires,
                or their activity is to be noted.
        """
        if entry.feed is None:
            self.drop(entry)
            return
        entry.identity, entry.until = identity, until
        if len(self._entries) > self._size:
            self._let_one_go()

    def _let_one_go(self) -> None:
        for _ in range(_CHANCES):
            token_id, oldest = next(iter(self._entries.items()))
            if not oldest.used:
                break
            oldest.used = False
            self._entries.move_to_end(token_id)
        _, oldest = self._entries.popitem(last=False)
        self._watches.forget(oldest)

    def drop(self, entry: Remembered) -> None:
        """Remember this no longer."""
        if self._entries.get(entry.token_id) is entry:
            del self._entries[entry.token_id]
        self._watches.forget(entry)
