"""Counting login attempts: exact with any concurrency, and forgotten in time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import pytest

from session_service.domain.ports import Counter
from session_service.storage import keys
from tests.support import eventually_async

if TYPE_CHECKING:
    from tests.support.stores import Store

ADA: Final = Counter("account", "ada", 1)
BOB: Final = Counter("account", "bob", 3)
HERE: Final = Counter("address", "192.0.2.1", 2)


async def test_attempts_are_let_through_up_to_the_limit(store: Store) -> None:
    """Beyond it the answer is how long to wait, and waiting is not put off by trying on."""
    assert [await store.attempts.take([Counter("account", "ada", 3)], 60) for _ in range(3)] == [0, 0, 0]
    first, second = [await store.attempts.take([Counter("account", "ada", 3)], 60) for _ in range(2)]
    assert 0 < second <= first <= 60_000
    assert await store.do("GET", keys.login_attempts("account", "ada")) == b"3"


async def test_a_crowd_of_attempts_cannot_pass_the_limit(store: Store) -> None:
    """Sixty guesses at once: exactly as many as allowed get through (ASVS 6.3.1)."""
    waits = await asyncio.gather(
        *(store.attempts.take([Counter("account", "ada", 7)], 60) for _ in range(60))
    )
    assert sum(not each for each in waits) == 7


async def test_a_window_ends(store: Store) -> None:
    """After the window the subject may try again."""
    await store.attempts.take([ADA], 1)
    assert await store.attempts.take([ADA], 1) > 0

    async def let_through() -> bool:
        return await store.attempts.take([ADA], 1) == 0

    await eventually_async(let_through)


async def test_a_window_is_fixed(store: Store) -> None:
    """It runs from the first attempt on; later ones within the limit do not lengthen it."""
    await store.attempts.take([Counter("account", "ada", 5)], 60)
    await store.do("PEXPIRE", keys.login_attempts("account", "ada"), 5_000)
    await store.attempts.take([Counter("account", "ada", 5)], 60)
    assert 0 < await store.do("PTTL", keys.login_attempts("account", "ada")) <= 5_000


async def test_scopes_and_subjects_are_counted_apart(store: Store) -> None:
    """One account's attempts cost neither another account nor an address of the same spelling."""
    await store.attempts.take([ADA], 60)
    assert await store.attempts.take([Counter("account", "bob", 1)], 60) == 0
    assert await store.attempts.take([Counter("address", "ada", 1)], 60) == 0


async def test_an_attempt_can_be_given_back(store: Store) -> None:
    """One that was no failure does not count; giving back what was not taken changes nothing."""
    await store.attempts.give_back([ADA])
    assert await store.keys() == set()
    await store.attempts.take([ADA], 60)
    await store.attempts.give_back([ADA])
    await store.attempts.give_back([ADA])
    assert await store.attempts.take([ADA], 60) == 0
    assert await store.attempts.take([ADA], 60) > 0
    assert 0 < await store.do("PTTL", keys.login_attempts("account", "ada")) <= 60_000


async def test_attempts_can_be_forgotten(store: Store) -> None:
    """After a success the count begins anew; forgetting nothing is fine."""
    await store.attempts.take([ADA], 60)
    await store.attempts.give_back([ADA], clear_first=True)
    await store.attempts.give_back([ADA], clear_first=True)
    assert await store.attempts.take([ADA], 60) == 0


@pytest.mark.parametrize("count", [0, 5])
async def test_a_counter_without_end_gets_one(store: Store, count: int) -> None:
    """A counter that lost its expiry locks nobody out for good."""
    await store.do("SET", keys.login_attempts("account", "ada"), count)
    await store.attempts.take([Counter("account", "ada", 3)], 60)
    assert 0 < await store.do("PTTL", keys.login_attempts("account", "ada")) <= 60_000


async def test_an_attempt_counts_on_all_up_to_the_first_that_is_full(store: Store) -> None:
    """What a full counter turns away is counted on those before it, and on none behind it."""
    counters = [BOB, ADA, HERE]
    assert await store.attempts.take(counters, 60) == 0
    for each in counters:
        assert 0 < await store.do("PTTL", keys.login_attempts(each.scope, each.subject)) <= 60_000
    await store.do("PEXPIRE", keys.login_attempts(ADA.scope, ADA.subject), 5_000)
    assert 0 < await store.attempts.take(counters, 60) <= 5_000
    assert await _counts(store, counters) == [2, 1, 1]


async def test_an_attempt_is_given_back_on_all(store: Store) -> None:
    """Of the first counter all attempts may be forgotten instead; what has none stays without."""
    counters = [BOB, HERE, ADA]
    await store.attempts.take(counters[:2], 60)
    await store.attempts.take(counters[:2], 60)
    await store.attempts.give_back(counters)
    assert await _counts(store, counters) == [1, 1, None]
    await store.attempts.take(counters[:1], 60)
    await store.attempts.give_back(counters, clear_first=True)
    assert await _counts(store, counters) == [None, 0, None]


async def _counts(store: Store, counters: Sequence[Counter]) -> list[int | None]:
    found = [await store.do("GET", keys.login_attempts(each.scope, each.subject)) for each in counters]
    return [None if each is None else int(each) for each in found]
