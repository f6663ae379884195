"""The near cache: what it serves, and above all what it does not."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field

import pytest

from session_service.domain.models import Identity
from session_service.domain.near_cache import NearCache, Remembered
from session_service.domain.watching import Watch, WatchedState

ADA = Identity("u-1", "s-1", "ada", ("editor",), 1_800_000_000, 0, 0)
BOUND = 1.0
FAR = 1e9


@dataclass
class Feed:
    """Confirmed at a moment that the test sets."""

    confirmed: float = 0.0
    asked: int = 0

    def confirm_soon(self) -> None:
        """Count it."""
        self.asked += 1


@dataclass
class Watches:
    """Keeps what was forgotten."""

    forgotten: list[Watch] = field(default_factory=list)
    left: int = 0

    async def read(self, user_id: str, session_id: str, token_id: str, watch: Watch) -> WatchedState | None:
        """Not asked for here."""
        raise AssertionError(user_id, session_id, token_id, watch)

    def forget(self, watch: Watch) -> None:
        """Keep it."""
        watch.feed = None
        self.forgotten.append(watch)

    def end_all(self) -> None:
        """Not asked for here."""
        raise AssertionError

    def caught_up(self) -> Awaitable[None]:
        """Not asked for here."""
        raise AssertionError


class Now:
    """The clock."""

    seconds = 0.0

    def __call__(self) -> float:
        """The moment that the test set."""
        return self.seconds


@dataclass
class Scene:
    """A cache, and all that it depends on."""

    feed: Feed = field(default_factory=Feed)
    watches: Watches = field(default_factory=Watches)
    now: Now = field(default_factory=Now)

    def __post_init__(self) -> None:
        self.cache = NearCache(self.watches, self.now, size=3)

    def fill(self, token_id: str, until: float = FAR) -> Remembered:
        """Remember an answer."""
        place = self.cache.place(token_id)
        place.feed = self.feed
        self.cache.keep(place, ADA, until)
        return place


@pytest.fixture
def scene() -> Scene:
    """An empty cache at moment 0."""
    return Scene()


@pytest.mark.parametrize(("age", "served"), [(0.0, True), (BOUND, True), (BOUND + 0.001, False)])
def test_an_answer_serves_while_its_feed_is_confirmed_within_the_bound(
    scene: Scene, age: float, served: bool
) -> None:
    """It is the caller's bound that counts, from the moment that the feed was confirmed."""
    scene.fill("t")
    scene.now.seconds = age
    assert (scene.cache.get("t", BOUND) == ADA) is served
    assert scene.cache.get("t", BOUND * 10) == ADA


def test_an_answer_does_not_outlive_its_session_and_token(scene: Scene) -> None:
    """At the moment at which one of them expires it is served no more, however fresh the feed."""
    scene.fill("t", until=5.0)
    scene.now.seconds = scene.feed.confirmed = 4.999
    assert scene.cache.get("t", BOUND) == ADA
    scene.now.seconds = scene.feed.confirmed = 5.0
    assert scene.cache.get("t", BOUND) is None


def test_what_has_ended_is_served_no_more(scene: Scene) -> None:
    """A change that is told drops the answer at once."""
    entry = scene.fill("t")
    entry.feed = None
    entry.ended()
    assert scene.cache.get("t", BOUND) is None
    assert "t" not in scene.cache


def test_an_answer_that_changed_before_it_arrived_is_not_kept(scene: Scene) -> None:
    """A place whose watch is not followed stays empty, and is given up."""
    place = scene.cache.place("t")
    scene.cache.keep(place, ADA, FAR)
    assert scene.cache.get("t", BOUND) is None
    assert "t" not in scene.cache


def test_a_place_that_is_asked_for_serves_nobody(scene: Scene) -> None:
    """While the answer is on its way the token is known and not served."""
    scene.cache.place("t")
    assert "t" in scene.cache
    assert scene.cache.get("t", FAR) is None


def test_a_sign_is_asked_for_ahead_of_need(scene: Scene) -> None:
    """From half of the bound on each use asks for one; before, and where nobody asks, nothing is sent."""
    scene.fill("t")
    scene.now.seconds = BOUND / 2
    scene.cache.get("t", BOUND)
    assert scene.feed.asked == 0
    scene.now.seconds = BOUND * 0.51
    scene.cache.get("t", BOUND)
    assert scene.feed.asked == 1


def test_the_least_recently_used_goes_first_and_is_forgotten(scene: Scene) -> None:
    """Beyond its size the cache lets go of what was not used for longest, and has it watched no longer."""
    entries = {token_id: scene.fill(token_id) for token_id in "abc"}
    scene.cache.get("a", BOUND)
    scene.fill("d")
    assert [token_id for token_id in "abcd" if token_id in scene.cache] == ["a", "c", "d"]
    assert scene.watches.forgotten == [entries["b"]]


def test_an_old_answer_leaves_a_newer_one_alone(scene: Scene) -> None:
    """What is told of an answer that has been replaced does not concern the one in its place."""
    old = scene.fill("t")
    new = scene.fill("t")
    old.ended()
    assert scene.cache.get("t", BOUND) == ADA
    assert new.feed is not None
