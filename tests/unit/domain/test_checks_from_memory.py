"""Checks that may be answered from memory: when the store is asked all the same."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

import pytest

from session_service.domain.checks import TokenCheck
from session_service.domain.models import AccessClaims, LiveState, SessionPolicy
from session_service.domain.watching import Watch, WatchedState

NOW = 1_800_000_000
CLAIMS = AccessClaims("u-1", "s-1", "t-1", issued_at=NOW - 100, expires_at=NOW + 1700)
INTERVAL = 60
BOUND = 60.0


class Tokens:
    """Verifies any token."""

    def verify(self, _token: str) -> AccessClaims:
        """The claims."""
        return CLAIMS


@dataclass
class Feed:
    """Always confirmed just now."""

    confirmed: float = float("inf")

    def confirm_soon(self) -> None:
        """Nothing to be done."""


@dataclass
class Now:
    """Seconds since the test began: both clocks go by it."""

    seconds: float = 0.0

    def wall(self) -> float:
        """Unix time."""
        return NOW + self.seconds

    def steady(self) -> float:
        """Of no meaning but in differences."""
        return self.seconds


@dataclass
class Store:
    """Holds one session; counts reads and touches."""

    now: Now = field(default_factory=Now)
    active: float = NOW
    reads: int = 0
    touches: int = 0
    watch: Watch | None = None

    def _live(self) -> LiveState:
        self.reads += 1
        return LiveState("s-1", "ada", (), int(self.active * 1000), NOW * 1000 + 10**7)

    async def read(self, *asked: Any) -> Any:
        """The session of the claims; of its ids, watched."""
        watch = asked[-1]
        if not isinstance(watch, Watch):
            return self._live()
        self.watch, watch.feed = watch, Feed()
        return WatchedState(self._live(), 1000.0)

    async def touch(self, _user: str, _session: str) -> None:
        """Note it, and tell who watches, as the store would."""
        self.touches += 1
        self.active = self.now.wall()
        if self.watch is not None and self.watch.feed is not None:
            self.watch.ended()

    def forget(self, watch: Watch) -> None:
        """Tell it nothing any more."""
        watch.feed = None

    def caught_up(self) -> Awaitable[None]:
        """Not asked for here."""
        raise AssertionError


@pytest.fixture
def store() -> Store:
    """A store with a session that is in use."""
    return Store()


@pytest.fixture
def check(store: Store) -> TokenCheck:
    """A check over it."""
    stand_in: Any = store
    tokens: Any = Tokens()
    return TokenCheck(
        tokens,
        stand_in,
        stand_in,
        stand_in,
        policy=SessionPolicy(touch_interval=INTERVAL),
        clock=store.now.wall,
        steady=store.now.steady,
    )


async def test_the_store_is_asked_once(check: TokenCheck, store: Store) -> None:
    """What one check has read serves those after it, until the session's activity is to be noted."""
    for store.now.seconds in (0.0, 1.0, INTERVAL - 0.01):
        assert (await check.check("token", BOUND)).username == "ada"
    assert (store.reads, store.touches) == (1, 0)


async def test_activity_is_noted_in_time_though_answers_are_remembered(
    check: TokenCheck, store: Store
) -> None:
    """When a touch is due the store is asked and told, and the next answer is remembered again."""
    await check.check("token", BOUND)
    store.now.seconds = INTERVAL
    await check.check("token", BOUND)
    assert (store.reads, store.touches) == (2, 1)
    for _ in range(3):
        assert (await check.check("token", BOUND)).last_active_ms == (NOW + INTERVAL) * 1000
    assert (store.reads, store.touches) == (3, 1)
