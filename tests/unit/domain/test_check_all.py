"""Checking many tokens at once: each is answered as if it were alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from session_service.domain.checks import TokenCheck
from session_service.domain.errors import (
    SessionEnded,
    StoreUnavailable,
    TokenExpired,
    TokenInvalid,
    TokenMissing,
)
from session_service.domain.models import AccessClaims, Identity, LiveState, SessionPolicy

NOW = 1_800_000_000
LONG_AGO = 0


@dataclass
class Tokens:
    """A token is its session's name; some are bad."""

    def issue(self, claims: AccessClaims) -> str:
        """Not asked for here."""
        raise AssertionError(claims)

    def verify(self, token: str) -> AccessClaims:
        """The claims of any token but ``forged``, ``expired`` and ``puzzling``."""
        faults = {"forged": TokenInvalid(), "expired": TokenExpired(), "puzzling": RuntimeError("a mistake")}
        if token in faults:
            raise faults[token]
        return AccessClaims(f"user of {token}", token, f"id of {token}", NOW - 100, NOW + 1700)


@dataclass
class Store:
    """Sessions by name; what is not there is alive and was active just now."""

    states: dict[str, LiveState | Exception | None] = field(default_factory=dict)
    touch_fault: StoreUnavailable | None = None
    trips: int = 0
    touched: list[str] = field(default_factory=list)
    touching: int = 0
    most_touching: int = 0

    async def read(self, claims: AccessClaims) -> LiveState | Exception | None:
        """The state of one."""
        return self.states.get(claims.session_id, _live(claims.session_id, NOW))

    async def read_all(self, claims: Sequence[AccessClaims]) -> list[LiveState | Exception | None]:
        """The state of each."""
        self.trips += 1
        return [self.states.get(each.session_id, _live(each.session_id, NOW)) for each in claims]

    async def touch(self, _user_id: str, session_id: str) -> None:
        """Note it after some turns of the loop, or fail."""
        self.touched.append(session_id)
        self.touching += 1
        self.most_touching = max(self.most_touching, self.touching)
        for _ in range(3):
            await asyncio.sleep(0)
        self.touching -= 1
        if self.touch_fault:
            raise self.touch_fault


def _live(session_id: str, last_active: int) -> LiveState:
    return LiveState(session_id, f"name of {session_id}", ("editor",), last_active * 1000, NOW * 1000 + 10**7)


def _check(store: Store) -> TokenCheck:
    doubles: Any = store
    return TokenCheck(
        Tokens(), doubles, doubles, doubles, policy=SessionPolicy(), clock=lambda: NOW, steady=lambda: 0.0
    )


async def _alone(check: TokenCheck, token: str) -> Identity | Exception:
    try:
        return await check.check(token)
    except Exception as error:  # noqa: BLE001 - the outcome
        return error


async def test_each_token_is_answered_as_if_it_were_alone() -> None:
    """Good, missing, forged, expired, ended, lapsed, repeated: what ``check`` says, in order, in one trip."""
    lapsed = _live("lapsed", NOW)._replace(token_session_id=None)
    store = Store({"ended": None, "lapsed": lapsed, "other": _live("another", NOW)})
    check = _check(store)
    tokens = ["a", "", "forged", "b", "expired", "ended", "a", "lapsed", "other", ""]
    answers = await check.check_all(tokens)
    alone = [await _alone(check, token) for token in tokens]
    kinds = [type(answer) for answer in answers]
    assert store.trips == 1
    assert kinds == [type(answer) for answer in alone]
    assert kinds[1:6] == [TokenMissing, TokenInvalid, Identity, TokenExpired, SessionEnded]
    assert [each for each in answers if isinstance(each, Identity)] == [
        each for each in alone if isinstance(each, Identity)
    ]


@pytest.mark.parametrize("tokens", [[], ["", "forged"]])
async def test_without_a_good_signature_nothing_is_read(tokens: list[str]) -> None:
    """Bad tokens never reach the store."""
    store = Store()
    assert len(await _check(store).check_all(tokens)) == len(tokens)
    assert store.trips == 0


async def test_what_nobody_foresaw_harms_no_other_token() -> None:
    """A mistake of ours, in a signature or in the store, is the answer for that token alone (I5)."""
    store = Store({"away": StoreUnavailable(), "odd": ValueError("no number")})
    answers = await _check(store).check_all(["a", "puzzling", "away", "odd", "b"])
    assert [type(each) for each in answers] == [
        Identity,
        RuntimeError,
        StoreUnavailable,
        ValueError,
        Identity,
    ]


async def test_others_have_their_turn_between_signatures() -> None:
    """A batch of signatures not seen before does not hold the loop to its end."""
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count_turns())
    await _check(Store()).check_all(["a"] * 256)
    other.cancel()
    assert turns >= 8


async def test_many_batches_take_turns_with_each_other_and_not_with_single_checks() -> None:
    """However many batches have come, a single check waits for a part of one of them, not of each."""
    check, verified = _check(Store()), 0

    class Counted(str):
        """A token that notes when its signature is looked at."""

        __slots__ = ()

        def __hash__(self) -> int:
            nonlocal verified
            verified += 1
            return super().__hash__()

    batches = [asyncio.create_task(check.check_all([Counted("a")] * 256)) for _ in range(50)]
    await asyncio.sleep(0)
    before = verified
    await asyncio.sleep(0)
    assert 0 < verified - before <= 32
    assert all(len(answers) == 256 for answers in await asyncio.gather(*batches))


async def test_activity_is_noted_once_for_each_session_a_few_at_a_time() -> None:
    """Of those for whom it is due each is touched, whatever the number of its tokens, at most 8 at once."""
    idle = [f"idle {number}" for number in range(50)]
    store = Store({name: _live(name, LONG_AGO) for name in idle} | {"ended": None})
    answers = await _check(store).check_all([*idle, "fresh", "ended", *idle])
    assert sorted(store.touched) == sorted(idle)
    assert store.most_touching == 8
    assert sum(isinstance(each, Identity) for each in answers) == 101


async def test_a_touch_that_fails_leaves_the_answers_and_is_not_repeated_for_all() -> None:
    """A store that takes no writes is not asked 256 times; the answers are known."""
    idle = [f"idle {number}" for number in range(256)]
    store = Store({name: _live(name, LONG_AGO) for name in idle}, touch_fault=StoreUnavailable())
    answers = await _check(store).check_all(idle)
    assert all(isinstance(each, Identity) for each in answers)
    assert len(store.touched) == 8
