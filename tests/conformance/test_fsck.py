"""Every contradiction between keys is found, mended if asked, and gone after that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from session_service.domain.policy import new_id
from session_service.storage import keys
from tests.support.stores import new_session, new_user

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from session_service.domain.models import NewSession
    from tests.support.stores import Store

FAR = 9_000_000_000_000


async def sound(store: Store) -> NewSession:
    """Two users with sessions and everything right; the last session of the first."""
    writer = store.writer()
    for name in ("ada", "bob"):
        await store.directory.create(new_user(name, name.title()))
        for _ in range(3):
            new = new_session(name)
            await writer.create(new)
        await writer.rotate(name, new.session_id, 1, new_id())
    new = new_session("ada")
    await writer.create(new)
    return new


async def _unindex(store: Store, new: NewSession) -> None:
    await store.do("ZREM", keys.session_index("ada"), new.session_id)


async def _lose_index(store: Store, _: NewSession) -> None:
    await store.do("DEL", keys.session_index("ada"))


async def _persist_session(store: Store, new: NewSession) -> None:
    await store.do("PERSIST", keys.session("ada", new.session_id))


async def _plant_session(store: Store, _: NewSession) -> None:
    await store.do("HSET", keys.session("ada", "planted"), "session_id", "planted")


async def _lose_session(store: Store, new: NewSession) -> None:
    await store.do("DEL", keys.session("ada", new.session_id))


async def _persist_index(store: Store, _: NewSession) -> None:
    await store.do("PERSIST", keys.session_index("ada"))


async def _persist_token(store: Store, new: NewSession) -> None:
    await store.do("PERSIST", keys.token("ada", new.token_id))


async def _plant_token(store: Store, _: NewSession) -> None:
    await store.do("SET", keys.token("ada", "planted"), "nothing")


async def _lose_claim(store: Store, _: NewSession) -> None:
    await store.do("DEL", keys.username("ada"))


async def _steal_claim(store: Store, _: NewSession) -> None:
    await store.do("SET", keys.username("ada"), "bob")


async def _unlist(store: Store, _: NewSession) -> None:
    await store.do("ZREM", keys.USERNAMES, "ada")


async def _plant_name(store: Store, _: NewSession) -> None:
    await store.do("ZADD", keys.USERNAMES, 0, "planted")


async def _plant_claim(store: Store, _: NewSession) -> None:
    await store.do("SET", keys.username("planted"), "nobody")


async def _lose_user(store: Store, _: NewSession) -> None:
    await store.do("DEL", keys.user("ada"))


DRIFTS: list[tuple[Callable[[Store, NewSession], Awaitable[None]], dict[str, int]]] = [
    (_unindex, {"sessions_unindexed": 1}),
    (_lose_index, {"sessions_unindexed": 4}),
    (_persist_session, {"sessions_endless": 1}),
    (_plant_session, {"sessions_unindexed": 1, "sessions_endless": 1}),
    (_lose_session, {"entries_dead": 1}),
    (_persist_index, {"indexes_endless": 1}),
    (_persist_token, {"tokens_endless": 1}),
    (_plant_token, {"tokens_endless": 1}),
    (_lose_claim, {"users_unnamed": 1, "names_unclaimed": 1}),
    (_steal_claim, {"users_renamed": 1, "claims_dead": 1}),
    (_unlist, {"names_unlisted": 1}),
    (_plant_name, {"names_unclaimed": 1}),
    (_plant_claim, {"claims_dead": 1}),
    (_lose_user, {"claims_dead": 1}),
]


async def test_a_sound_store_has_nothing_wrong(store: Store) -> None:
    """What the scripts leave behind is right, and all of it was looked at."""
    await sound(store)
    report = await store.fsck.run()
    assert report.wrong == {}
    assert (report.sessions, report.entries, report.tokens, report.users) == (7, 7, 9, 2)
    assert report.tokens_left_over == 0


@pytest.mark.parametrize(("drift", "found"), DRIFTS, ids=[each.__name__ for each, _ in DRIFTS])
async def test_each_drift_is_found_and_mended(
    store: Store, drift: Callable[[Store, NewSession], Awaitable[None]], found: dict[str, int]
) -> None:
    """Looking changes nothing; mending leaves nothing wrong, and the rest untouched."""
    await drift(store, await sound(store))
    before = await store.keys()
    for _ in range(2):
        assert (await store.fsck.run()).wrong == found
    assert await store.keys() == before
    await store.fsck.run(repair=True)
    # Names taken from a user by hand are given back in one run and claimed in the next.
    await store.fsck.run(repair=True)
    assert (await store.fsck.run()).wrong == {}
    assert len(await store.sessions.activity("bob")) == 3


@pytest.mark.parametrize("repair", [False, True])
async def test_many_dead_entries_are_counted_once(store: Store, repair: bool) -> None:
    """More of them than one step looks at, with a live one among them, mended or only counted."""
    new = await sound(store)
    dead = [word for number in range(700) for word in (FAR, f"dead-{number}")]
    await store.do("ZADD", keys.session_index("ada"), *dead, FAR, new.session_id)
    report = await store.fsck.run(repair=repair)
    assert (report.entries, report.entries_dead) == (707, 700)


async def test_mending_gives_a_session_back_to_its_owner(store: Store) -> None:
    """A session missing from the index is listed and ended with the others again."""
    new = await sound(store)
    await _lose_index(store, new)
    assert await store.writer().end_all("ada") == 0
    await store.fsck.run(repair=True)
    assert new.session_id in {each for each, _ in await store.sessions.activity("ada")}
    assert 0 < await store.do("PTTL", keys.session_index("ada")) <= 86_400_000
    assert await store.writer().end_all("ada") == 4


async def test_mending_lets_a_session_end(store: Store) -> None:
    """A session that lost its expiry gets its own absolute end again."""
    new = await sound(store)
    await _persist_session(store, new)
    await _persist_index(store, new)
    await store.fsck.run(repair=True)
    for key in (keys.session("ada", new.session_id), keys.session_index("ada")):
        assert 0 < await store.do("PTTL", key) <= 86_400_000


async def test_mending_deletes_what_nothing_will_ever_end(store: Store) -> None:
    """A token's key without a session and without an expiry would stay for good."""
    await _plant_token(store, await sound(store))
    await store.fsck.run(repair=True)
    assert await store.do("EXISTS", keys.token("ada", "planted")) == 0


async def test_tokens_of_ended_sessions_are_counted_and_left(store: Store) -> None:
    """An earlier access token of an ended session is harmless and lives out its time."""
    writer, new = store.writer(), new_session()
    await writer.create(new)
    await writer.rotate("ada", new.session_id, 1, new_id())
    await writer.end("ada", new.session_id)
    report = await store.fsck.run(repair=True)
    assert (report.tokens_left_over, report.wrong) == (1, {})
    assert await store.do("EXISTS", keys.token("ada", new.token_id)) == 1


async def test_progress_is_told_of_each_kind(store: Store) -> None:
    """Whoever watches learns what is being looked at."""
    await sound(store)
    told: dict[str, int] = {}

    async def listen(what: str, count: int) -> None:
        told[what] = count

    await store.fsck.run(progress=listen)
    assert set(told) == {"sessions", "indexes", "tokens", "users", "names"}
