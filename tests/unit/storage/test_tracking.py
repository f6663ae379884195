"""Tracking: whom Redis's word reaches."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from redis.exceptions import ResponseError

from session_service.domain.errors import StoreUnavailable
from session_service.domain.watching import Watch
from session_service.storage.link import FailedReplies
from session_service.storage.tracking import TRACK, Tracking

SESSION, TOKEN = b"session", b"token"
NAMES = (SESSION, TOKEN)


class FakeLink:
    """Answers when the test says so."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.confirmed = 0.0
        self.lost: asyncio.Future[str] = loop.create_future()
        self.sign: asyncio.Future[list[Any]] = loop.create_future()
        self.sent: list[Any] = []

    async def send(self, commands: Any) -> list[Any]:
        """Keep it."""
        self.sent.extend(commands)
        return [b"OK"]

    def confirmation(self) -> asyncio.Future[list[Any]]:
        """The answer to come."""
        return self.sign


class Counting(Watch):
    """Counts what it is told."""

    __slots__ = ("told",)

    def __init__(self) -> None:
        super().__init__()
        self.told = 0

    def ended(self) -> None:
        """Count it."""
        self.told += 1


async def tracked(tracking: Tracking) -> Any:
    """A link that is tracked."""
    link: Any = FakeLink()
    await tracking.begin(link)
    return link


def followed(tracking: Tracking, link: Any) -> Counting:
    """A watch over an answer that was read over the link."""
    watch = Counting()
    tracking.register(watch, NAMES)
    tracking.follow(watch, link)
    return watch


async def test_a_link_is_told_to_track_what_is_asked_for() -> None:
    """Tracking is switched on, for marked reads only."""
    link = await tracked(Tracking())
    assert link.sent == [TRACK]


@pytest.mark.parametrize("key", NAMES)
async def test_a_change_of_either_key_is_told_once(key: bytes) -> None:
    """Whoever follows an answer hears of the first change of one of its keys, and of no other."""
    tracking = Tracking()
    link = await tracked(tracking)
    watches = [followed(tracking, link) for _ in range(3)]
    for _ in range(2):
        tracking.invalidated(link, [b"another", key])
        tracking.invalidated(link, list(NAMES))
    assert [watch.told for watch in watches] == [1, 1, 1]
    assert all(watch.feed is None for watch in watches)


async def test_what_is_told_before_the_answer_is_there_ends_it_unfollowed() -> None:
    """An invalidation that overtakes its answer: the answer is good for who asked, and not to be kept."""
    tracking = Tracking()
    link = await tracked(tracking)
    for push in ([SESSION], [TOKEN], None):
        watch = Counting()
        tracking.register(watch, NAMES)
        tracking.invalidated(link, push)
        tracking.follow(watch, link)
        assert (watch.feed, watch.told) == (None, 0)


async def test_a_link_that_is_lost_takes_its_answers_along() -> None:
    """Followed answers are told of, pending ones are not followed, those of other links stay."""
    tracking = Tracking()
    link, other = await tracked(tracking), await tracked(tracking)
    lost, kept, pending = followed(tracking, link), followed(tracking, other), Counting()
    tracking.register(pending, NAMES)
    tracking.lost(link)
    tracking.follow(pending, other)
    assert (lost.told, kept.told, pending.told) == (1, 0, 0)
    assert (lost.feed, kept.feed, pending.feed) == (None, other, None)


async def test_all_answers_can_be_ended() -> None:
    """Those of every link are told of; a pending one is not followed."""
    tracking = Tracking()
    links = [await tracked(tracking) for _ in range(2)]
    watches, pending = [followed(tracking, link) for link in links], Counting()
    tracking.register(pending, NAMES)
    tracking.end_all()
    tracking.follow(pending, links[0])
    assert [watch.told for watch in (*watches, pending)] == [1, 1, 0]
    assert pending.feed is None


async def test_nothing_is_followed_over_a_lost_link() -> None:
    """The answer came, and then the link was lost before anybody looked."""
    tracking = Tracking()
    link = await tracked(tracking)
    watch = Counting()
    tracking.lost(link)
    tracking.register(watch, NAMES)
    tracking.follow(watch, link)
    assert watch.feed is None


async def test_a_link_that_is_lost_while_tracking_begins_is_not_followed() -> None:
    """Its loss came with its last reply, and was told before it counted as a link."""
    tracking = Tracking()
    link: Any = FakeLink()
    link.lost.set_result("lost")
    await tracking.begin(link)
    assert followed(tracking, link).feed is None


async def test_an_answer_of_several_links_is_not_followed() -> None:
    """Where a cluster redirected a read, no one link tells of all its keys."""
    tracking = Tracking()
    await tracked(tracking)
    watch = Counting()
    tracking.register(watch, NAMES)
    tracking.follow(watch, None)
    assert watch.feed is None


async def test_who_forgets_is_told_nothing() -> None:
    """A watch that was forgotten leaves others on the same keys alone."""
    tracking = Tracking()
    link = await tracked(tracking)
    gone, kept = followed(tracking, link), followed(tracking, link)
    tracking.forget(gone)
    tracking.forget(gone)
    tracking.invalidated(link, [SESSION])
    assert (gone.told, kept.told) == (0, 1)


async def test_beyond_the_limit_nothing_is_followed() -> None:
    """More watches than there may be are not followed, until others are forgotten."""
    tracking = Tracking(limit=1)
    link = await tracked(tracking)
    first, second = followed(tracking, link), followed(tracking, link)
    assert first.feed is link
    assert second.feed is None
    assert tracking.left == 0
    tracking.forget(first)
    assert tracking.left == 1
    assert followed(tracking, link).feed is link


async def test_many_who_watch_one_session_hold_nobody_up() -> None:
    """A client that asks about its one token for ever costs each time what it did the first time."""
    tracking = Tracking()
    link = await tracked(tracking)
    began = time.process_time()
    told, forgotten = ([followed(tracking, link) for _ in range(10_000)] for _ in range(2))
    for watch in forgotten:
        tracking.forget(watch)
    tracking.invalidated(link, [SESSION])
    # Where each copies all others it takes half a minute.
    assert time.process_time() - began < 3
    assert {watch.told for watch in told} == {1}
    assert {watch.told for watch in forgotten} == {0}
    assert tracking.count == 0


async def test_everybody_has_caught_up_when_every_link_has_answered() -> None:
    """One link that is silent holds it up; with none it is at once."""
    await Tracking().caught_up()
    tracking = Tracking()
    links = [await tracked(tracking) for _ in range(2)]
    waiting = asyncio.ensure_future(tracking.caught_up())
    links[0].sign.set_result([b"PONG"])
    await asyncio.sleep(0)
    assert not waiting.done()
    links[1].sign.set_result([b"PONG"])
    await waiting


async def test_a_link_lost_meanwhile_does_not_hold_it_up() -> None:
    """Who read over it has been told of its loss."""
    tracking = Tracking()
    link = await tracked(tracking)
    waiting = asyncio.ensure_future(tracking.caught_up())
    await asyncio.sleep(0)
    link.lost.set_result("lost")
    link.sign.set_exception(StoreUnavailable())
    await waiting


async def test_an_error_is_a_sign_as_well() -> None:
    """It comes in its turn, as any reply: Redis answers PING with one while it cannot save."""
    tracking = Tracking()
    link = await tracked(tracking)
    link.sign.set_exception(FailedReplies([ResponseError("MISCONF cannot save")]))
    await tracking.caught_up()


async def test_a_link_that_takes_no_question_gives_no_sign() -> None:
    """Too much is in flight to ask: nobody may believe that everything has been told."""
    tracking = Tracking()
    link = await tracked(tracking)
    link.confirmation = refused
    with pytest.raises(StoreUnavailable):
        await tracking.caught_up()


def refused() -> asyncio.Future[list[Any]]:
    """What a link does that is overfull."""
    raise StoreUnavailable
