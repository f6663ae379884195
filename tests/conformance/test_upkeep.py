"""I8: the sweep leaves no index entry without a session, in bounded steps, one process at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from session_service.domain.events import Action, AuditEvent
from session_service.domain.models import Stats, SweepReport
from session_service.domain.policy import new_id
from session_service.storage import keys
from session_service.storage.sessions import BATCH
from tests.support import eventually_async
from tests.support.stores import new_session, new_user

if TYPE_CHECKING:
    from tests.support.stores import Store

FAR = 9_000_000_000_000


async def entries(store: Store, user_id: str) -> set[str]:
    """The members of a user's index."""
    return {each.decode() for each in await store.do("ZRANGE", keys.session_index(user_id), 0, -1)}


async def test_a_sweep_removes_dead_entries_and_no_others(store: Store) -> None:
    """After one sweep the index of every user is true (I8), and the report counts what was looked at."""
    writer, users = store.writer(), [f"user-{number}" for number in range(30)]
    alive: dict[str, set[str]] = {user: set() for user in users}
    for user in users:
        for _ in range(3):
            alive[user].add((await writer.create(new_session(user))).session_id)
        lost = alive[user].pop()
        await store.do("DEL", keys.session(user, lost))
        await store.do("ZADD", keys.session_index(user), 5, "long-gone", FAR, "never-was")
    assert await store.upkeep.sweep() == SweepReport(scanned=30 * 5, removed=30 * 3)
    for user in users:
        assert await entries(store, user) == alive[user]
    assert await store.upkeep.sweep() == SweepReport(scanned=30 * 2, removed=0)


async def test_a_sweep_of_nothing_finds_nothing(store: Store) -> None:
    """An empty Redis is swept too."""
    assert await store.upkeep.sweep() == SweepReport()


@pytest.mark.parametrize("same_score", [True, False])
async def test_a_sweep_goes_through_one_large_index(store: Store, same_score: bool) -> None:
    """More entries than several batches, live ones scattered among them, with equal scores or not."""
    writer = store.writer()
    live = {(await writer.create(new_session())).session_id for _ in range(20)}
    index = keys.session_index("ada")
    dead = [f"dead-{number:05}" for number in range(4 * BATCH)]
    for place, member in enumerate([*dead, *live]):
        await store.do("ZADD", index, FAR if same_score else FAR + place % 777, member)
    assert await store.upkeep.sweep() == SweepReport(len(dead) + len(live), len(dead))
    assert await entries(store, "ada") == live


async def test_sessions_that_come_and_go_during_a_sweep_are_not_lost(store: Store) -> None:
    """While logins and logouts go on, no live session loses its entry, and no dead entry stays."""
    writer, index = store.writer(), keys.session_index("ada")
    dead = [word for number in range(3 * BATCH) for word in (FAR, f"dead-{number:05}")]
    await store.do("ZADD", index, *dead)

    async def churn() -> None:
        for _ in range(40):
            new = new_session()
            await writer.create(new)
            await writer.create(new_session())
            await writer.end("ada", new.session_id)

    await asyncio.gather(churn(), store.upkeep.sweep())
    live = {keys.last_part(key) for key in await store.keys("user_session:*")}
    assert await entries(store, "ada") == live
    assert len(live) == 40


async def test_one_process_sweeps_at_a_time(store: Store) -> None:
    """While another sweeps nothing is done; a lock left by a dead process ends by itself."""
    await store.do("ZADD", keys.session_index("ada"), FAR, "dead")
    await store.do("SET", keys.SWEEP_LOCK, "another", "PX", 300)
    assert await store.upkeep.sweep() == SweepReport(busy=True)
    assert await entries(store, "ada") == {"dead"}

    async def swept() -> bool:
        return (await store.upkeep.sweep()).removed == 1

    await eventually_async(swept)
    assert await store.do("EXISTS", keys.SWEEP_LOCK) == 0


async def test_a_sweep_gives_no_other_process_lock_back(store: Store) -> None:
    """A sweep that lost its lock stops, and leaves the new holder's alone."""
    for number in range(2_000):
        await store.do("ZADD", keys.session_index(f"user-{number}"), FAR, "dead")

    async def lose(_what: str, _count: int) -> None:
        await store.do("SET", keys.SWEEP_LOCK, "another", "PX", 60_000)

    report = await store.upkeep.sweep(progress=lose)
    assert report.removed < 2_000
    assert await store.do("GET", keys.SWEEP_LOCK) == b"another"


async def test_progress_is_told(store: Store) -> None:
    """Whoever watches learns how many entries were looked at, ever more."""
    for number in range(300):
        await store.do("ZADD", keys.session_index(f"user-{number}"), FAR, "dead")
    told: list[int] = []

    async def listen(what: str, count: int) -> None:
        assert what == "entries"
        told.append(count)

    await store.upkeep.sweep(progress=listen)
    assert told == sorted(told)
    assert told[-1] == 300


async def test_totals_follow_the_last_count(store: Store) -> None:
    """Stats are the sweep's exact count, carried on by what was created and ended since."""
    assert await store.upkeep.stats() == Stats(0, 0, 0, 0, 0)
    writer, audit = store.writer(), store.audit()
    await store.directory.create(new_user())
    for _ in range(5):
        await writer.create(new_session())
    before = await store.now_ms()
    await store.upkeep.sweep()
    stats = await store.upkeep.stats()
    assert (stats.active_sessions, stats.users, stats.created_sessions) == (5, 1, 0)
    assert before <= stats.counted_ms <= await store.now_ms()
    await audit.open()
    audit.record(AuditEvent(Action.LOGIN, "ada", new_id()))
    audit.record(AuditEvent(Action.SESSION_CREATED, "ada", new_id()))
    audit.record(AuditEvent(Action.LOGIN_FAILED, "ada"))
    audit.record(AuditEvent(Action.LOGOUT, "ada", new_id(), count=1))
    audit.record(AuditEvent(Action.EVICT, "ada", new_id()))
    audit.record(AuditEvent(Action.LOGOUT_ALL, "ada", count=2))
    await audit.close()
    stats = await store.upkeep.stats()
    assert (stats.active_sessions, stats.created_sessions, stats.ended_sessions) == (3, 2, 4)
