"""Reading so that changes are told, over every kind of Redis."""

from __future__ import annotations

import pytest

from session_service.domain.policy import new_id
from session_service.storage import keys
from tests.support import eventually_async
from tests.support.stores import Store, claims, new_session
from tests.support.watching import Told


async def test_a_watched_read_says_what_a_read_says(store: Store) -> None:
    """The state is the same, and valid for as long as the token, which is the first to expire."""
    new = new_session()
    await store.writer(token_expire=100).create(new)
    found = await store.watches.read(new.user_id, new.session_id, new.token_id, Told())
    assert found is not None
    assert found.live == await store.sessions.read(claims(new.user_id, new.session_id, new.token_id))
    assert 95 < found.valid_for <= 100


async def test_an_idle_end_bounds_the_answer(store: Store) -> None:
    """A session that idles out before its token bounds how long the answer is valid."""
    new = new_session()
    await store.writer(token_expire=100, idle_timeout=30).create(new)
    found = await store.watches.read(new.user_id, new.session_id, new.token_id, Told())
    assert found is not None
    assert 25 < found.valid_for <= 30


async def test_what_is_not_alive_is_none(store: Store) -> None:
    """There is no such session."""
    watch = Told()
    assert await store.watches.read("ada", new_id(), new_id(), watch) is None
    store.watches.forget(watch)


@pytest.mark.parametrize("how", ["end", "end_all", "touch", "delete the token", "flush"])
async def test_every_change_is_told_by_the_time_one_has_caught_up(real_store: Store, how: str) -> None:
    """Whatever changes the session or the token, and whoever."""
    store, writer = real_store, real_store.writer()
    for _ in range(20):
        new = new_session()
        await writer.create(new)
        watch = Told()
        await store.watches.read(new.user_id, new.session_id, new.token_id, watch)
        assert watch.feed is not None
        match how:
            case "end":
                await writer.end(new.user_id, new.session_id)
            case "end_all":
                await writer.end_all(new.user_id)
            case "touch":
                await writer.touch(new.user_id, new.session_id)
            case "delete the token":
                await store.do("DEL", keys.token(new.user_id, new.token_id))
            case _:
                async for primary in store.connections.primaries():
                    await primary.flushall()
        await store.watches.caught_up()
        assert watch.over
        assert watch.feed is None


async def test_expiry_is_told_too_if_late(real_store: Store) -> None:
    """Redis tells of an expired key when it finds it; the answer's own end does not wait for that."""
    new = new_session()
    await real_store.writer(token_expire=1).create(new)
    watch = Told()
    await real_store.watches.read(new.user_id, new.session_id, new.token_id, watch)
    await eventually_async(lambda: watch.over, timeout=20)


async def test_strict_reads_are_not_tracked(real_store: Store) -> None:
    """Redis remembers nothing for checks whose answers nobody keeps."""
    new = new_session()
    await real_store.writer().create(new)
    await real_store.sessions.read(claims(new.user_id, new.session_id, new.token_id))
    async for primary in real_store.connections.primaries():
        assert (await primary.info("stats"))["tracking_total_keys"] == 0
