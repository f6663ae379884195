"""Who is told when a key changes, over all links of a process.

Each link has Redis track what is read over it after ``CACHING``: when such a key changes, expires, is evicted
or flushed, Redis says so once, in one order with its replies. Only those reads are tracked (OPTIN): strict
checks cost Redis no memory, and no message when their sessions change. There is nothing for NOLOOP to
leave out, as nothing is changed over a link that is read over.

A watch is registered before its read is sent. What is told between then and the moment at which the answer
is followed may concern the answer, and so ends it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeAlias

from session_service.storage.link import FailedReplies

if TYPE_CHECKING:
    from collections.abc import Callable

    from session_service.domain.watching import Watch
    from session_service.storage.link import Command, Link

    _Watchers: TypeAlias = tuple[Watch, ...] | set[Watch]

TRACK: Final[Command] = ("CLIENT", "TRACKING", "ON", "OPTIN")
CACHING: Final[Command] = ("CLIENT", "CACHING", "YES")
"""Before each command whose key is to be tracked."""

MAX_WATCHES: Final = 262_144
"""Answers that are watched in one process, somewhat under 1 KB each; more are given but not watched."""

# A tuple takes a fifth of a set's memory; but with many, each that comes or goes would copy all others.
_FEW: Final = 8


class Tracking:
    """Knows who watches which key, and over which link it was read.

    A ``link.Follower``.

    Args:
        limit: how many watches there may be; ``count`` is how many there are.
    """

    def __init__(self, limit: int = MAX_WATCHES) -> None:
        self._limit = limit
        self._links: set[Link] = set()
        self.count = 0
        self._watches: dict[bytes, _Watchers] = {}

    @property
    def left(self) -> int:
        """How many more watches there may be."""
        return self._limit - self.count

    async def begin(self, link: Link) -> None:
        """Have Redis track what is read over a new link.

        Raises:
            StoreUnavailable: the link was lost meanwhile.
            redis.exceptions.ResponseError: Redis refuses.
        """
        try:
            await link.send((TRACK,))
        except FailedReplies as failed:
            raise failed.errors[0] from None
        self._links.add(link)
        if link.lost.done():
            self._links.discard(link)

    def register(self, watch: Watch, names: tuple[bytes, ...]) -> None:
        """Expect an answer that is read from these keys; dropped silently beyond the limit."""
        if self.count >= self._limit:
            return
        self.count += 1
        watch.held = names
        for name in names:
            self._watches[name] = _with(self._watches.get(name, ()), watch)

    def follow(self, watch: Watch, link: Link | None) -> None:
        """The answer is there, read over this link (``None``: over several); tell of changes from here on."""
        if link is None or link not in self._links:
            self.forget(watch)
        elif watch.held:
            watch.feed = link

    def forget(self, watch: Watch) -> None:
        """Tell this watch of nothing any more."""
        watch.feed = None
        if not watch.held:
            return
        self.count -= 1
        for name in watch.held:
            others = _without(self._watches[name], watch)
            if others:
                self._watches[name] = others
            else:
                del self._watches[name]
        watch.held = ()

    def invalidated(self, link: Link, keys: list[bytes] | None) -> None:
        """Tell everybody who watches these keys, by whatever link they read them."""
        if keys is None:
            self._end(lambda watch: watch.feed in (link, None))
            return
        for key in keys:
            for watch in tuple(self._watches.get(key, ())):
                self._tell(watch)

    def lost(self, link: Link) -> None:
        """Tell everybody who read over this link."""
        self._links.discard(link)
        self._end(lambda watch: watch.feed in (link, None))

    def end_all(self) -> None:
        """Tell everybody, whatever they read; pending answers are not followed."""
        self._end(lambda _watch: True)

    async def caught_up(self) -> None:
        """Wait until every link has answered a PING sent after this call; see ``SessionWatches``.

        An error is an answer too, and in its turn: Redis gives one while it cannot save. A link that is lost
        meanwhile has told everybody who read over it.
        """
        signs = [link.confirmation() for link in self._links]
        if signs:
            await asyncio.wait(signs)

    def _end(self, concerns: Callable[[Watch], bool]) -> None:
        concerned = {watch for each in self._watches.values() for watch in each if concerns(watch)}
        for watch in concerned:
            self._tell(watch)

    def _tell(self, watch: Watch) -> None:
        followed = watch.feed is not None
        self.forget(watch)
        if followed:
            watch.ended()


def _with(watchers: _Watchers, watch: Watch) -> _Watchers:
    if isinstance(watchers, set):
        watchers.add(watch)
        return watchers
    more = (*watchers, watch)
    return more if len(more) <= _FEW else set(more)


def _without(watchers: _Watchers, watch: Watch) -> _Watchers:
    if isinstance(watchers, set):
        watchers.discard(watch)
        return watchers
    return tuple(each for each in watchers if each is not watch)


class Untracked(Tracking):
    """For links over which nothing is read: Redis is not asked to report changes."""

    async def begin(self, link: Link) -> None:
        """Leave the link as it is."""
