"""Sessions end by themselves, by Redis's own clock: idle, and at their absolute end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from session_service.domain.errors import SessionEnded
from session_service.domain.models import RotationRefused
from session_service.domain.policy import new_id
from session_service.storage import keys
from tests.support import eventually_async
from tests.support.stores import claims, new_session

if TYPE_CHECKING:
    from session_service.domain.models import NewSession
    from tests.support.stores import Store


async def gone(store: Store, new: NewSession) -> bool:
    """Whether a check no longer finds the session."""
    return await store.sessions.read(claims("ada", new.session_id, new.token_id)) is None


async def test_an_idle_session_ends(store: Store) -> None:
    """Unused for the idle timeout, it is gone for checks, lists, refreshes and retries (ASVS 7.3.1)."""
    writer, new = store.writer(idle_timeout=1), new_session(request_id="r-1")
    await writer.create(new)
    await eventually_async(lambda: gone(store, new))
    assert await store.sessions.activity("ada") == []
    assert await writer.rotate("ada", new.session_id, 1, new_id()) is RotationRefused.ENDED
    await writer.touch("ada", new.session_id)
    assert await gone(store, new)
    with pytest.raises(SessionEnded):
        await writer.create(new_session(request_id="r-1"))


async def test_a_session_ends_at_its_absolute_end(store: Store) -> None:
    """However busy, it is gone at its end, with its token and its index (ASVS 7.3.2)."""
    writer, new = store.writer(session_expire=1, idle_timeout=600), new_session()
    await writer.create(new)

    async def busy_until_gone() -> bool:
        await writer.touch("ada", new.session_id)
        return await gone(store, new)

    await eventually_async(busy_until_gone)
    await eventually_async(lambda: _none_left(store))


async def _none_left(store: Store) -> bool:
    return await store.keys() == {keys.user_devices("ada")}


async def test_activity_puts_off_the_idle_end(store: Store) -> None:
    """A touch and a refresh each give the session its whole idle time again."""
    writer, new = store.writer(idle_timeout=600), new_session()
    await writer.create(new)
    key = keys.session("ada", new.session_id)
    for use in (
        lambda: writer.touch("ada", new.session_id),
        lambda: writer.rotate("ada", new.session_id, 1, new_id()),
    ):
        await store.do("PEXPIRE", key, 5_000)
        await use()
        assert 590_000 < await store.do("PTTL", key) <= 600_000


async def test_activity_never_goes_beyond_the_absolute_end(store: Store) -> None:
    """Near its absolute end the idle time gives way."""
    writer, new = store.writer(session_expire=60, idle_timeout=3_600), new_session()
    await writer.create(new)
    key = keys.session("ada", new.session_id)
    assert await store.do("PTTL", key) <= 60_000
    await writer.touch("ada", new.session_id)
    assert await store.do("PTTL", key) <= 60_000
    await writer.rotate("ada", new.session_id, 1, new_id())
    assert await store.do("PTTL", key) <= 60_000


async def test_without_idle_timeout_a_session_lives_to_its_end(store: Store) -> None:
    """With the timeout taken out of the configuration, a touch frees a session from the one it had."""
    new = new_session()
    await store.writer(idle_timeout=60).create(new)
    await store.writer(session_expire=86_400).touch("ada", new.session_id)
    assert await store.do("PTTL", keys.session("ada", new.session_id)) > 86_000_000


async def test_everything_of_a_session_has_an_end(store: Store) -> None:
    """No key of a session is without expiry, and the index lives as long as its longest member."""
    await store.writer(session_expire=600).create(new_session(request_id="r-1"))
    await store.writer(session_expire=60).create(new_session())
    for key in await store.keys():
        assert await store.do("PTTL", key) > 0, key
    assert 590_000 < await store.do("PTTL", keys.session_index("ada")) <= 600_000
