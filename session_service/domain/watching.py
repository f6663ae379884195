"""Answers that are remembered, and how it becomes known that they no longer hold.

The store tells of every change of what was read with a ``Watch``, in one order with the answers to reads:
over a ``Feed``. An answer that nothing was told of held at ``feed.confirmed``, for whatever changed before
that has been told. So an answer may be used for a caller who accepts a staleness of s seconds while
``feed.confirmed`` is no longer ago than that; the argument is in docs/consistency.md.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import NamedTuple, Protocol

from session_service.domain.models import LiveState


class Feed(Protocol):
    """The ordered way on which answers and changes come from one store."""

    confirmed: float
    """Every change that was acknowledged before this moment of the steady clock has been told."""

    def confirm_soon(self) -> None:
        """Have ``confirmed`` moved on, if that is not under way already."""


class Watch:
    """Interest in whether one answer still holds.

    ``feed`` is ``None`` while no answer is followed: before it is there, and once it no longer holds.
    ``held`` is the store's: the names of what was read.
    """

    __slots__ = ("feed", "held")

    def __init__(self) -> None:
        self.feed: Feed | None = None
        self.held: tuple[bytes, ...] = ()

    def ended(self) -> None:
        """Take note that the answer may no longer hold; called once, and only for one that was followed."""
        raise NotImplementedError


class WatchedState(NamedTuple):
    """A live session, and for how many seconds from before the read on it and its token last unchanged."""

    live: LiveState
    valid_for: float


class SessionWatches(Protocol):
    """Reads sessions strictly, and tells of their changes from then on."""

    @property
    def left(self) -> int:
        """How many more answers may be followed."""

    async def read(self, user_id: str, session_id: str, token_id: str, watch: Watch) -> WatchedState | None:
        """As ``SessionReader.read``; ``watch`` is told of any change of what was read, or lost sight of.

        ``watch.feed`` is set if the answer may be remembered. It may not where something was told of it
        before it arrived, or where too much is watched.

        Raises:
            StoreUnavailable: nothing is known.
        """

    def forget(self, watch: Watch) -> None:
        """Tell it of nothing any more."""

    def end_all(self) -> None:
        """Tell every watch, and have no answer under way followed: the store is not all that counts."""

    def caught_up(self) -> Awaitable[None]:
        """Wait until everything has been told that was acknowledged before this call.

        Raises:
            StoreUnavailable: the store gives no sign of it.
        """
