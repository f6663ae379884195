"""The check, where its answer is remembered: here, for callers who may be told late, or by who watches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from session_service.domain.checks import TokenCheck
from session_service.domain.errors import SessionEnded, SessionServiceError, StoreUnavailable
from session_service.domain.models import AccessClaims, LiveState, SessionPolicy
from session_service.domain.watching import Watch, WatchedState

NOW = 1_800_000_000
CLAIMS = AccessClaims("u-1", "s-1", "t-1", issued_at=NOW - 100, expires_at=NOW + 1700)
LIVE = LiveState("s-1", "ada", (), last_active_ms=NOW * 1000, expires_ms=NOW * 1000 + 10**7)
INTERVAL = SessionPolicy().touch_interval
VALID_FOR = 300.0
BOUND = 60.0


@dataclass
class Store:
    """Tokens, store and feed in one: one token, one session; keeps what it was asked in order."""

    now: float = NOW
    live: LiveState | None = LIVE
    fault: SessionServiceError | None = None
    confirmed: float = 0.0
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        stand_in: Any = self
        policy = SessionPolicy()
        clocks: Any = {"clock": lambda: self.now, "steady": lambda: self.now - NOW}
        self.check = TokenCheck(stand_in, stand_in, stand_in, stand_in, policy=policy, **clocks)

    def verify(self, _token: str) -> AccessClaims:
        """Every token is the one."""
        return CLAIMS

    async def read(self, *asked: Any) -> Any:
        """The state of the claims, or the fault; of the ids, followed."""
        watch = asked[-1]
        if not isinstance(watch, Watch):
            self.asked.append("read")
            return self.fault or self.live
        self.asked.append("watch")
        if self.fault:
            raise self.fault
        if self.live is None:
            return None
        watch.feed = self
        return WatchedState(self.live, VALID_FOR)

    async def touch(self, _user: str, _session: str) -> None:
        """The session is active now."""
        self.asked.append("touch")
        assert self.live is not None
        self.live = self.live._replace(last_active_ms=int(self.now * 1000))

    def forget(self, watch: Watch) -> None:
        """Follow it no longer."""
        self.asked.append("forget")
        watch.feed = None

    async def caught_up(self) -> None:
        """At once."""
        self.asked.append("catch up")

    def confirm_soon(self) -> None:
        """Nothing is due, as it is always confirmed."""
        raise AssertionError


async def test_an_answer_from_memory_is_activity_too() -> None:
    """Once per interval a check that memory could answer asks the store, and has the use noted."""
    store = Store()
    first = await store.check.check("good", BOUND)
    assert await store.check.check("good", BOUND) is first
    assert store.asked == ["watch"]
    store.now += INTERVAL
    store.confirmed += INTERVAL
    await store.check.check("good", BOUND)
    assert store.asked == ["watch", "read", "touch"]


async def test_an_answer_is_read_again_when_its_own_touch_has_been_told() -> None:
    """Else the word of the touch would end the answer that was read after it."""
    store, watch = Store(now=NOW + INTERVAL), Watch()
    identity, _ = await store.check.watch("good", watch)
    assert store.asked == ["watch", "forget", "touch", "catch up", "watch"]
    assert identity.last_active_ms == int(store.now * 1000)
    assert watch.feed is store


@pytest.mark.parametrize(
    ("live", "fault", "error"),
    [
        (None, None, SessionEnded),
        (LIVE._replace(token_session_id="s-2"), None, SessionEnded),
        (LIVE, StoreUnavailable(), StoreUnavailable),
    ],
)
async def test_a_check_that_fails_leaves_nothing_watched(
    live: LiveState | None, fault: SessionServiceError | None, error: type[Exception]
) -> None:
    """Neither for who watches nor in memory."""
    store, watch = Store(live=live, fault=fault), Watch()
    with pytest.raises(error):
        await store.check.watch("good", watch)
    assert watch.feed is None
    assert store.asked == ["watch", "forget"]
    with pytest.raises(error):
        await store.check.check("good", BOUND)
    store.live, store.fault = LIVE, None
    await store.check.check("good", BOUND)
    assert store.asked[-1] == "watch"


async def test_an_answer_is_remembered_no_longer_than_the_token_says() -> None:
    """The nearer of the store's word and the token's own expiry counts."""
    store = Store()
    _, valid_for = await store.check.watch("good", Watch())
    assert valid_for == VALID_FOR
    store.now = CLAIMS.expires_at - 1
    store.live = LIVE._replace(last_active_ms=int(store.now * 1000))
    _, valid_for = await store.check.watch("good", Watch())
    assert valid_for == 1
