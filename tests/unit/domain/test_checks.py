"""The check: what makes a token good, and which error tells what is wrong with it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from session_service.domain.checks import CLOCK_SKEW_SECONDS, TokenCheck
from session_service.domain.errors import (
    SessionEnded,
    SessionServiceError,
    StoreUnavailable,
    TokenExpired,
    TokenInvalid,
    TokenMissing,
)
from session_service.domain.models import AccessClaims, LiveState, SessionPolicy

NOW = 1_800_000_000
CLAIMS = AccessClaims("u-1", "s-1", "t-1", issued_at=NOW - 100, expires_at=NOW + 1700)
LIVE = LiveState("s-1", "ada", ("editor",), last_active_ms=NOW * 1000, expires_ms=NOW * 1000 + 10**7)


@dataclass
class Tokens:
    """Verifies one token."""

    claims: AccessClaims = CLAIMS

    def issue(self, claims: AccessClaims) -> str:
        """Not asked for here."""
        raise AssertionError(claims)

    def verify(self, token: str) -> AccessClaims:
        """The claims of the token ``good``."""
        if token != "good":
            raise TokenInvalid
        return self.claims


@dataclass
class Store:
    """Reads one state, and remembers touches."""

    live: LiveState | None = LIVE
    fault: SessionServiceError | None = None
    read_of: list[tuple[str, str, str]] = field(default_factory=list)
    touched: list[tuple[str, str]] = field(default_factory=list)

    async def read(self, claims: AccessClaims) -> LiveState | Exception | None:
        """The state, or the fault."""
        self.read_of.append((claims.user_id, claims.session_id, claims.token_id))
        return self.fault or self.live

    async def touch(self, user_id: str, session_id: str) -> None:
        """Note it."""
        self.touched.append((user_id, session_id))


@dataclass
class SlowStore(Store):
    """Takes its time to note activity, and may fail to."""

    gate_fault: SessionServiceError | None = None
    touching: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def touch(self, user_id: str, session_id: str) -> None:
        """Note it, wait for the gate, fail if told to."""
        await super().touch(user_id, session_id)
        self.touching.set()
        await self.gate.wait()
        if self.gate_fault:
            raise self.gate_fault


def _check(store: Store, tokens: Tokens | None = None, policy: SessionPolicy | None = None) -> TokenCheck:
    stand_in: Any = store
    return TokenCheck(
        tokens or Tokens(),
        stand_in,
        stand_in,
        stand_in,
        policy=policy or SessionPolicy(),
        clock=lambda: NOW,
        steady=lambda: 0.0,
    )


async def test_a_good_token_of_a_live_session_is_an_identity() -> None:
    """Signature, token and session hold: the answer is what the store says of the session now."""
    store = Store()
    identity = await _check(store).check("good")
    assert (identity.user_id, identity.session_id, identity.username) == ("u-1", "s-1", "ada")
    assert identity.roles == ("editor",)
    assert identity.token_expires_at == CLAIMS.expires_at
    assert store.read_of == [("u-1", "s-1", "t-1")]
    assert not store.touched


@pytest.mark.parametrize(
    "live", [None, LIVE._replace(token_session_id=None), LIVE._replace(token_session_id="s-2")]
)
async def test_without_its_session_or_its_own_key_a_token_is_ended(live: LiveState | None) -> None:
    """No session, no key of the token, or one that names another session: SESSION_ENDED (I1)."""
    with pytest.raises(SessionEnded):
        await _check(Store(live)).check("good")


@pytest.mark.parametrize(
    ("left", "error"), [(CLOCK_SKEW_SECONDS, TokenExpired), (CLOCK_SKEW_SECONDS + 1, SessionEnded)]
)
async def test_a_token_that_the_store_let_lapse_a_moment_early_has_expired(
    left: int, error: type[Exception]
) -> None:
    """Near its ``exp`` a missing token key means expiry by Redis's clock: refresh, not log in."""
    tokens = Tokens(replace(CLAIMS, expires_at=NOW + left))
    with pytest.raises(error):
        await _check(Store(LIVE._replace(token_session_id=None)), tokens).check("good")


async def test_a_bad_token_never_reaches_the_store() -> None:
    """Missing and invalid tokens are refused before anything is read."""
    store = Store()
    for token, error in (("", TokenMissing), ("bad", TokenInvalid)):
        with pytest.raises(error):
            await _check(store).check(token)
    assert not store.read_of


async def test_a_store_fault_is_neither_yes_nor_no() -> None:
    """The fault passes through as it is (I5)."""
    with pytest.raises(StoreUnavailable):
        await _check(Store(fault=StoreUnavailable())).check("good")


@pytest.mark.parametrize(("ago", "touches"), [(59_999, 0), (60_000, 1)])
async def test_activity_is_written_once_per_interval(ago: int, touches: int) -> None:
    """A session is touched when its activity is as old as the interval."""
    store = Store(LIVE._replace(last_active_ms=NOW * 1000 - ago))
    await _check(store).check("good")
    assert len(store.touched) == touches


async def test_a_refused_token_touches_nothing() -> None:
    """A check that fails is no activity."""
    store = Store(LIVE._replace(token_session_id=None, last_active_ms=0))
    with pytest.raises(SessionEnded):
        await _check(store).check("good")
    assert not store.touched


async def test_checks_at_once_note_the_activity_once() -> None:
    """While one touch is under way, other checks of the session do not wait for another."""
    store = SlowStore(LIVE._replace(last_active_ms=0))
    check = _check(store)
    first = asyncio.create_task(check.check("good"))
    await store.touching.wait()
    for _ in range(5):
        await check.check("good")
    store.gate.set()
    await first
    assert len(store.touched) == 1
    await check.check("good")
    assert len(store.touched) == 2


async def test_a_touch_that_fails_leaves_the_answer() -> None:
    """Activity that cannot be noted is no reason to doubt the session, and is tried again."""
    store = SlowStore(LIVE._replace(last_active_ms=0), gate_fault=StoreUnavailable())
    store.gate.set()
    check = _check(store)
    for _ in range(2):
        assert (await check.check("good")).user_id == "u-1"
    assert len(store.touched) == 2
