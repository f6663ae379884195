"""I3: a user never has more live sessions than allowed, whatever happens at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from session_service.domain.errors import SessionLimitReached
from session_service.domain.models import CreatedSession, OnLimit, SessionPolicy
from session_service.domain.policy import MAX_SESSIONS_LIMIT
from session_service.storage import keys
from session_service.storage.sessions import RedisSessionWriter
from tests.support.stores import new_session

if TYPE_CHECKING:
    from tests.support.stores import Store

LIMIT = 5
CROWD = 80


async def live(store: Store) -> set[str]:
    """The sessions that are alive by their own keys, whatever the index says."""
    return {keys.last_part(key) for key in await store.keys("user_session:*")}


async def test_a_crowd_of_logins_never_exceeds_the_limit(store: Store) -> None:
    """Eighty logins at once leave five sessions, and never more in between; the others were evicted."""
    writer = store.writer(max_sessions=LIMIT)
    crowd = asyncio.gather(*(writer.create(new_session()) for _ in range(CROWD)))
    counts = []
    while not crowd.done():
        counts.append(len(await live(store)))
    created = await crowd
    evicted = [each for one in created for each in one.evicted]
    assert max(counts) <= LIMIT
    assert len(evicted) == len(set(evicted)) == CROWD - LIMIT
    assert {one.session_id for one in created} - set(evicted) == await live(store)
    assert {each for each, _ in await store.sessions.activity("ada")} == await live(store)


async def test_a_crowd_of_logins_fills_the_limit_and_no_more(store: Store) -> None:
    """Where the policy is to reject, as many succeed as there is room for."""
    writer = store.writer(max_sessions=LIMIT, on_limit=OnLimit.REJECT)
    outcomes = await asyncio.gather(
        *(writer.create(new_session()) for _ in range(CROWD)), return_exceptions=True
    )
    created = [each for each in outcomes if isinstance(each, CreatedSession)]
    refused = [each for each in outcomes if isinstance(each, SessionLimitReached)]
    assert (len(created), len(refused)) == (LIMIT, CROWD - LIMIT)
    assert {each.session_id for each in created} == await live(store)
    assert refused[0].metadata == {"limit": "5"}


async def test_the_oldest_session_makes_room(store: Store) -> None:
    """The session created first ends, with its newest access token."""
    writer = store.writer(max_sessions=2)
    first, second, third = [new_session() for _ in range(3)]
    await writer.create(first)
    await store.next_ms()
    await writer.create(second)
    assert (await writer.create(third)).evicted == (first.session_id,)
    assert await live(store) == {second.session_id, third.session_id}
    assert await store.do("EXISTS", keys.token("ada", first.token_id)) == 0


async def test_a_limit_of_one_leaves_the_newest(store: Store) -> None:
    """The smallest limit works."""
    writer = store.writer(max_sessions=1)
    await writer.create(new_session())
    last = await writer.create(new_session())
    assert await live(store) == {last.session_id}


@pytest.mark.parametrize("policy", list(OnLimit))
async def test_sessions_that_are_gone_take_no_room(store: Store, policy: OnLimit) -> None:
    """A session that idled out still has an index entry; nobody is evicted or refused for it."""
    writer = store.writer(max_sessions=3, on_limit=policy)
    news = [new_session() for _ in range(3)]
    for new in news:
        await writer.create(new)
    await store.do("DEL", keys.session("ada", news[1].session_id))
    created = await writer.create(new_session())
    assert created.evicted == ()
    assert await live(store) == {news[0].session_id, news[2].session_id, created.session_id}
    assert await store.do("ZCARD", keys.session_index("ada")) == 3


async def test_expired_entries_go_without_a_limit_too(store: Store) -> None:
    """A login clears away entries past their end, so that an index cannot grow for ever."""
    now = await store.now_ms()
    await store.do("ZADD", keys.session_index("ada"), now - 5, "long-gone", now + 60_000, "not-yet")
    await store.writer().create(new_session())
    assert await store.do("ZSCORE", keys.session_index("ada"), "long-gone") is None
    assert await store.do("ZCARD", keys.session_index("ada")) == 2


async def test_a_lowered_limit_holds_from_the_next_login(store: Store) -> None:
    """With the limit lowered in the configuration, one login ends as many as it takes, oldest first."""
    created = []
    for _ in range(30):
        created.append((await store.writer().create(new_session())).session_id)
        await store.next_ms()
    last = await store.writer(max_sessions=3).create(new_session())
    assert last.evicted == tuple(created[:28])
    assert await live(store) == {*created[28:], last.session_id}


async def test_a_limit_far_exceeded_is_reached_by_batches(store: Store) -> None:
    """More sessions than one script looks at: the login still ends all that are too many."""
    count = MAX_SESSIONS_LIMIT + 150
    writer = store.writer()
    for _ in range(count // 50):
        await asyncio.gather(*(writer.create(new_session()) for _ in range(50)))
    last = await store.writer(max_sessions=2).create(new_session())
    assert len(set(last.evicted)) == count - 1
    assert len(await live(store)) == 2


async def test_a_rejecting_limit_sees_through_many_dead_entries(store: Store) -> None:
    """More dead entries than one script looks at do not keep a user out."""
    now = await store.now_ms()
    dead = [word for number in range(MAX_SESSIONS_LIMIT + 5) for word in (now + 9_000_000, f"dead-{number}")]
    await store.do("ZADD", keys.session_index("ada"), *dead)
    writer = store.writer(max_sessions=1, on_limit=OnLimit.REJECT)
    await writer.create(new_session())
    assert await store.do("ZCARD", keys.session_index("ada")) == 1
    with pytest.raises(SessionLimitReached):
        await writer.create(new_session())


def test_an_unbounded_limit_is_refused() -> None:
    """A limit above what one script looks at is a mistake in the configuration."""
    with pytest.raises(ValueError, match="at most 1000"):
        RedisSessionWriter(None, SessionPolicy(max_sessions=1_001))  # type: ignore[arg-type]


async def test_the_limit_is_each_users_own(store: Store) -> None:
    """One user's logins cost another user nothing."""
    writer = store.writer(max_sessions=1)
    await writer.create(new_session("bob"))
    await writer.create(new_session("ada"))
    assert len(await store.sessions.activity("bob")) == 1
