"""What one client is told: the order of it, and that nothing piles up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from session_service.domain.errors import InvalidArgument, SessionEnded, StoreUnavailable
from session_service.domain.models import Identity
from session_service.domain.token_watches import (
    MAX_FORGOTTEN,
    ROOM,
    Failed,
    Invalidated,
    Pong,
    TokenWatches,
    Verified,
)
from session_service.domain.watching import Watch

ADA = Identity("u-1", "s-1", "ada", (), 1_800_000_000, 0, 0)
VALID_FOR = 60.0


class Store:
    """The check and the watches: answers when its gate is open, and tells of changes when told to."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.followed = True
        self.watched: set[Watch] = set()
        self.asked = 0
        self.left = 1_000_000

    async def check(self, _token: str) -> Identity:
        """Answer, and follow nothing."""
        return ADA

    async def watch(self, _token: str, watch: Watch) -> tuple[Identity, float]:
        """Answer, and follow the answer."""
        self.asked += 1
        await self.gate.wait()
        if self.error:
            raise self.error
        if self.followed:
            watch.feed = object()  # type: ignore[assignment]
            self.watched.add(watch)
        return ADA, VALID_FOR

    def forget(self, watch: Watch) -> None:
        """Follow it no longer."""
        watch.feed = None
        self.watched.discard(watch)

    async def caught_up(self) -> None:
        """Wait for the gate."""
        await self.gate.wait()
        if self.error:
            raise self.error

    def change(self) -> None:
        """End every answer."""
        for watch in list(self.watched):
            self.forget(watch)
            watch.ended()


@pytest.fixture
def store() -> Store:
    """A store that answers at once."""
    return Store()


@pytest.fixture
def client(store: Store) -> TokenWatches:
    """One client's watches over it."""
    stand_in: Any = store
    return TokenWatches(stand_in, stand_in)


async def test_an_answer_is_told_and_then_its_end(client: TokenWatches, store: Store) -> None:
    """First that the token is accepted, then that the answer no longer holds."""
    await client.verify(1, "token")
    assert await client.told() == Verified(1, ADA, VALID_FOR)
    store.change()
    assert await client.told() == Invalidated([1])


async def test_an_end_that_comes_before_the_answer_was_taken_comes_after_it(
    client: TokenWatches, store: Store
) -> None:
    """A client that is slow to take its answer hears of its end after it."""
    await client.verify(1, "token")
    await asyncio.sleep(0)
    store.change()
    assert [await client.told(), await client.told()] == [Verified(1, ADA, VALID_FOR), Invalidated([1])]


async def test_an_answer_that_is_not_followed_says_so(client: TokenWatches, store: Store) -> None:
    """It is good for who asked, and must not be remembered."""
    store.followed = False
    await client.verify(1, "token")
    assert await client.told() == Verified(1, ADA, None)


async def test_an_answer_that_is_forgotten_before_it_is_known_is_not_followed(
    client: TokenWatches, store: Store
) -> None:
    """The client hears the answer, and nothing of it any more."""
    store.gate.clear()
    await client.verify(1, "token")
    client.forget([1])
    store.gate.set()
    assert await client.told() == Verified(1, ADA, None)
    assert not store.watched


@pytest.mark.parametrize("error", [None, SessionEnded()])
async def test_an_id_used_again_while_its_first_question_is_under_way_is_the_second_ones(
    client: TokenWatches, store: Store, error: Exception | None
) -> None:
    """The first answer, forgotten before it was known, does not take the second one's watch out of sight."""
    store.gate.clear()
    await client.verify(1, "token")
    await asyncio.sleep(0)
    client.forget([1])
    first, store.gate = store.gate, asyncio.Event()
    store.gate.set()
    await client.verify(1, "token")
    assert await client.told() == Verified(1, ADA, VALID_FOR)
    store.error = error
    first.set()
    await client.told()
    assert len(store.watched) == 1
    client.close()
    assert not store.watched


async def test_a_refusal_is_told_and_its_id_is_free(client: TokenWatches, store: Store) -> None:
    """Whatever the check raises is the answer."""
    store.error = SessionEnded()
    await client.verify(1, "token")
    assert await client.told() == Failed(1, store.error)
    store.error = None
    await client.verify(1, "token")
    assert await client.told() == Verified(1, ADA, VALID_FOR)


async def test_a_pong_follows_what_was_told_before_it(client: TokenWatches, store: Store) -> None:
    """What became known before the store had caught up leaves before the pong."""
    await client.verify(1, "token")
    await client.told()
    store.gate.clear()
    await client.ping(9)
    await asyncio.sleep(0)
    store.change()
    store.gate.set()
    assert [await client.told(), await client.told()] == [Invalidated([1]), Pong(9)]


async def test_without_a_sign_of_the_store_there_is_no_pong(client: TokenWatches, store: Store) -> None:
    """The client must see that nothing is known; the place of its question is free again."""
    store.error = StoreUnavailable()
    for number in range(ROOM + 1):
        await client.ping(number)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    client.finish()
    assert await client.told() is None


async def test_changes_that_wait_together_leave_together(client: TokenWatches, store: Store) -> None:
    """A thousand answers that end at once are one message."""
    for number in range(1000):
        await client.verify(number, "token")
        await client.told()
    store.change()
    told = await client.told()
    assert isinstance(told, Invalidated)
    assert sorted(told.ids) == list(range(1000))


async def test_nobody_has_more_watched_than_is_left_to_others(client: TokenWatches, store: Store) -> None:
    """A client that watches as much as is left is answered unwatched, until it has forgotten something."""
    for left, number in ((3, 1), (2, 2)):
        store.left = left
        await client.verify(number, "token")
        assert await client.told() == Verified(number, ADA, VALID_FOR)
    store.left = 2
    await client.verify(3, "token")
    assert await client.told() == Verified(3, ADA, None)
    client.forget([1])
    await client.verify(4, "token")
    assert await client.told() == Verified(4, ADA, VALID_FOR)


async def test_who_takes_nothing_is_asked_to_wait(client: TokenWatches, store: Store) -> None:
    """Beyond its room nothing is begun until something was taken: no questions pile up, and no answers."""
    for number in range(ROOM):
        await client.verify(number, "token")
    waiting = asyncio.ensure_future(client.verify(ROOM, "token"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert (waiting.done(), store.asked) == (False, ROOM)
    await client.told()
    await waiting


async def test_an_id_in_use_and_too_many_to_forget_are_refused(client: TokenWatches) -> None:
    """The field is named."""
    await client.verify(1, "token")
    with pytest.raises(InvalidArgument, match=r"verify\.id"):
        await client.verify(1, "token")
    with pytest.raises(InvalidArgument, match=r"forget\.ids"):
        client.forget(range(MAX_FORGOTTEN + 1))


async def test_closing_watches_nothing_any_more(client: TokenWatches, store: Store) -> None:
    """Neither what was answered nor what is under way."""
    await client.verify(1, "token")
    await client.told()
    store.gate.clear()
    await client.verify(2, "token")
    client.close()
    store.gate.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not store.watched
