"""The directory: names are claimed, users and their sessions change together, crashes heal."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING
from unittest.mock import AsyncMock, Mock

import pytest

from session_service.domain.errors import InvalidCredentials, StoreUnavailable, UsernameTaken
from session_service.domain.models import User
from session_service.storage import keys
from session_service.storage.sessions import BATCH
from session_service.storage.users import RedisUserReader, RedisUserWriter
from tests.support.stores import Faltering, Meddling, new_session, new_user

if TYPE_CHECKING:
    from tests.support.stores import Store


async def several_sessions(store: Store, count: int = 3) -> list[str]:
    """Open sessions for the user; their ids."""
    writer = store.writer()
    created = [await writer.create(new_session()) for _ in range(count)]
    return [each.session_id for each in created]


async def test_a_user_is_found_by_id_and_by_name_in_any_case(store: Store) -> None:
    """What was put in comes out, with the store's time of creation."""
    created = await store.directory.create(new_user("id-1", "Straße", roles=("a", "b")))
    assert created == replace(new_user("id-1", "Straße", roles=("a", "b")), created_ms=created.created_ms)
    assert created.created_ms <= await store.now_ms()
    assert await store.users.get("id-1") == created
    assert await store.users.find("STRASSE") == created
    assert await store.users.count() == 1


async def test_absent_users_are_none(store: Store) -> None:
    """Nobody is found and nothing is changed or stored where there is no user."""
    assert await store.users.get("nobody") is None
    assert await store.users.find("nobody") is None
    assert await store.users.list_users("", 10) == []
    assert await store.users.count() == 0
    assert await store.directory.set_password("nobody", "$h$", end_sessions=True) is None
    assert await store.directory.set_roles("nobody", ("a",)) is None
    assert await store.directory.set_disabled("nobody", disabled=True) is None
    assert await store.directory.delete("nobody") is None
    assert not await store.directory.replace_hash("nobody", "", "$h$")
    assert await store.keys() == set()


async def test_a_free_name_costs_the_reads_of_a_taken_one(store: Store) -> None:
    """Looking for a user takes two round trips whether or not there is one (ASVS 6.3.8)."""
    await store.directory.create(new_user("id-1", "ada"))
    for name in ("ada", "nobody"):
        reads = AsyncMock(side_effect=store.reads.read)
        await RedisUserReader(Mock(read=reads)).find(name)
        assert reads.await_count == 2


async def test_names_are_listed_in_order_and_by_pages(store: Store) -> None:
    """Pages follow one another by normalised name, none missing and none twice."""
    names = [f"User-{number:02}" for number in range(25)]
    for name in reversed(names):
        await store.directory.create(new_user(f"id-of-{name}", name))
    seen: list[str] = []
    while page := await store.users.list_users(seen[-1] if seen else "", 10):
        seen += [user.username for user in page]
    assert seen == names
    assert await store.users.count() == 25


async def test_a_page_is_full_although_names_lead_nowhere(store: Store) -> None:
    """Names that a creation which died half way left behind take no place on a page."""
    await store.do("ZADD", keys.USERNAMES, 0, "aaa", 0, "bbb", 0, "zzz")
    for name in ("carol", "dave"):
        await store.directory.create(new_user(name, name))
    assert [user.username for user in await store.users.list_users("", 2)] == ["carol", "dave"]


async def test_a_taken_name_is_refused_in_any_case(store: Store) -> None:
    """Names that look the same are the same; the refused user leaves nothing behind."""
    await store.directory.create(new_user("one", "Ada"))
    before = await store.keys()
    with pytest.raises(UsernameTaken):
        await store.directory.create(new_user("two", "ADA"))
    assert await store.keys() == before
    assert await store.users.get("two") is None


async def test_a_taken_id_is_refused(store: Store) -> None:
    """An id in use keeps its user, and the new name stays free."""
    await store.directory.create(new_user("one", "Ada"))
    counting = Faltering(store, 0, made=False, error=StoreUnavailable())
    with pytest.raises(UsernameTaken):
        await store.through(counting).directory.create(new_user("one", "Bob"))
    assert counting.count == 0
    assert await store.users.find("Bob") is None
    assert (await store.directory.create(new_user("two", "Bob"))).user_id == "two"


async def test_a_crowd_gets_a_name_once(store: Store) -> None:
    """Twenty creations of one name at once make one user, whole."""
    outcomes = await asyncio.gather(
        *(store.directory.create(new_user(f"id-{n}", "Ada")) for n in range(20)), return_exceptions=True
    )
    [winner] = [each for each in outcomes if isinstance(each, User)]
    assert sum(isinstance(each, UsernameTaken) for each in outcomes) == 19
    assert await store.users.find("ada") == winner
    assert len(await store.keys("user:*")) == 1
    assert not (await store.fsck.run()).wrong


async def test_a_claim_made_good_is_not_taken_away(store: Store) -> None:
    """Whoever saw it without a user acts on old knowledge: by then the user is there, and keeps the name."""
    claimed, go_on = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        claimed.set()
        await go_on.wait()

    slow = store.through(Meddling(store, 1, wait)).directory
    creating = asyncio.create_task(slow.create(new_user("first", "Ada")))
    await claimed.wait()

    class LateReader(RedisUserReader):
        """Lets the first be created right after it was not there."""

        async def get(self, user_id: str) -> User | None:
            found = await super().get(user_id)
            if user_id == "first" and not creating.done():
                go_on.set()
                await creating
            return found

    late = RedisUserWriter(store.mutations, LateReader(store.reads))
    with pytest.raises(UsernameTaken):
        await late.create(new_user("second", "ada"))
    assert await store.users.find("ada") == await creating
    assert await store.users.get("second") is None
    assert not (await store.fsck.run()).wrong


async def test_a_crowd_gets_an_id_once(store: Store) -> None:
    """Twenty creations of one id under twenty names make one user; the other names are free again."""
    outcomes = await asyncio.gather(
        *(store.directory.create(new_user("one", f"name-{n}")) for n in range(20)), return_exceptions=True
    )
    [winner] = [each for each in outcomes if isinstance(each, User)]
    assert await store.users.list_users("", 30) == [winner]
    assert await store.keys("username:*") == {keys.username(winner.username)}
    assert not (await store.fsck.run()).wrong


@pytest.mark.parametrize("made", [False, True])
@pytest.mark.parametrize("at", range(1, 6))
@pytest.mark.parametrize("again_as", ["same-id", "other-id"])
async def test_a_creation_that_died_anywhere_is_finished_by_a_retry(
    store: Store, at: int, made: bool, again_as: str
) -> None:
    """Whichever step was the last one, made or not, a retry leaves one whole user of that name."""
    faltering = Faltering(store, at, made=made, error=StoreUnavailable())
    try:
        await store.through(faltering).directory.create(new_user("same-id", "Ada"))
    except StoreUnavailable:
        assert at <= faltering.count
    try:
        await store.directory.create(new_user(again_as, "Ada"))
    except UsernameTaken:
        assert at >= 3, "only a creation that got as far as the user may have taken the name"
    user = await store.users.find("ada")
    assert user is not None
    assert await store.users.list_users("", 10) == [user]
    assert await store.users.count() == 1
    assert await store.keys("user:*") == {keys.user(user.user_id)}
    assert not (await store.fsck.run()).wrong


@pytest.mark.parametrize("made", [False, True])
@pytest.mark.parametrize("at", range(1, 5))
async def test_a_deletion_that_died_anywhere_is_finished_by_a_retry(
    store: Store, at: int, made: bool
) -> None:
    """Whichever step was the last one, after a retry nothing of the user is left and the name is free."""
    await store.directory.create(new_user("ada", "Ada"))
    await several_sessions(store)
    faltering = Faltering(store, at, made=made, error=StoreUnavailable())
    try:
        await store.through(faltering).directory.delete("ada")
    except StoreUnavailable:
        assert at <= faltering.count
    await store.directory.delete("ada")
    assert not await store.keys("user*")
    assert (await store.directory.create(new_user("another", "Ada"))).user_id == "another"
    assert not (await store.fsck.run()).wrong


async def test_a_deletion_done_again_spares_who_has_the_name_now(store: Store) -> None:
    """A half deleted user is deleted again after somebody took the name: that one keeps it."""
    await store.directory.create(new_user("old", "Ada"))
    faltering = Faltering(store, 3, made=False, error=StoreUnavailable())
    with pytest.raises(StoreUnavailable):
        await store.through(faltering).directory.delete("old")
    new = await store.directory.create(new_user("new", "Ada"))
    assert await store.directory.delete("old") is not None
    assert await store.users.find("Ada") == new
    assert await store.users.list_users("", 10) == [new]


async def test_a_claim_cleared_away_during_a_creation_is_made_again(store: Store) -> None:
    """The name is certain once the user is there, whatever happened to the claim before."""
    clearing = Meddling(store, 2, lambda: store.do("DEL", keys.username("ada")))
    created = await store.through(clearing).directory.create(new_user())
    assert await store.users.find("Ada") == created


async def test_a_name_lost_during_a_creation_undoes_it(store: Store) -> None:
    """If the name went to somebody else before the user was there, no second user of it remains."""

    async def lose() -> None:
        await store.do("DEL", keys.username("ada"))
        await store.directory.create(new_user("other", "Ada"))

    losing = Meddling(store, 2, lose)
    with pytest.raises(UsernameTaken):
        await store.through(losing).directory.create(new_user("late", "Ada"))
    assert await store.users.get("late") is None
    assert not (await store.fsck.run()).wrong


async def test_a_stale_claim_is_taken_over_once(store: Store) -> None:
    """Two creations find a claim that names somebody of another name: one of them gets the name."""
    await store.directory.create(new_user("bob", "Bob"))
    await store.do("SET", keys.username("ada"), "bob")
    assert await store.users.find("ada") is None
    meddling = Meddling(store, 1, lambda: store.directory.create(new_user("first", "Ada")))
    with pytest.raises(UsernameTaken):
        await store.through(meddling).directory.create(new_user("second", "Ada"))
    user = await store.users.find("Ada")
    assert user is not None
    assert user.user_id == "first"
    assert not (await store.fsck.run()).wrong


async def test_a_new_password_ends_the_sessions_if_asked(store: Store) -> None:
    """All, all but one, or none; the answer shows the user after it and how many ended."""
    await store.directory.create(new_user())
    kept, *_ = await several_sessions(store)
    change = await store.directory.set_password("ada", "$1$", end_sessions=False)
    assert change is not None
    assert (change.user.password_hash, change.ended_count) == ("$1$", 0)
    change = await store.directory.set_password("ada", "$2$", end_sessions=True, keep=kept)
    assert change is not None
    assert change.ended_count == 2
    assert [each for each, _ in await store.sessions.activity("ada")] == [kept]
    change = await store.directory.set_password("ada", "$3$", end_sessions=True)
    assert change is not None
    assert change.ended_count == 1
    assert (await store.users.get("ada")) == change.user


async def test_a_new_password_can_demand_the_old_one(store: Store) -> None:
    """A change that was checked against a hash does not overwrite what came since."""
    await store.directory.create(new_user(password_hash="$0$"))
    await several_sessions(store)
    await store.directory.set_password("ada", "$1$", expected="$0$", end_sessions=False)
    with pytest.raises(InvalidCredentials):
        await store.directory.set_password("ada", "$2$", expected="$0$", end_sessions=True)
    assert len(await store.sessions.activity("ada")) == 3


async def test_a_hash_is_replaced_only_by_who_knows_it(store: Store) -> None:
    """Rehashing at login does not undo a password set meanwhile."""
    await store.directory.create(new_user(password_hash="$0$"))
    assert await store.directory.replace_hash("ada", "$0$", "$0-stronger$")
    assert not await store.directory.replace_hash("ada", "$0$", "$stale$")
    user = await store.users.get("ada")
    assert user is not None
    assert user.password_hash == "$0-stronger$"


@pytest.mark.parametrize("roles", [("viewer", "editor"), ()])
async def test_roles_reach_live_sessions(store: Store, roles: tuple[str, ...]) -> None:
    """The user and every session have the new roles; none that has ended comes back (I4)."""
    await store.directory.create(new_user())
    sessions = await several_sessions(store)
    await store.do("DEL", keys.session("ada", sessions[0]))
    change = await store.directory.set_roles("ada", roles)
    assert change is not None
    assert change.user.roles == roles
    live = await store.sessions.fetch("ada", sessions)
    assert [each.roles for each in live] == [roles, roles]
    assert await store.do("EXISTS", keys.session("ada", sessions[0])) == 0


async def crowded_user(store: Store) -> list[str]:
    """A user with more sessions than two batches; their ids."""
    await store.directory.create(new_user())
    writer = store.writer()
    news = [new_session() for _ in range(2 * BATCH + 30)]
    for start in range(0, len(news), 50):
        await asyncio.gather(*map(writer.create, news[start : start + 50]))
    return [new.session_id for new in news]


async def roles_of(store: Store, session_ids: list[str]) -> set[tuple[str, ...]]:
    """The roles that occur among these sessions."""
    return {each.roles for each in await store.sessions.fetch("ada", session_ids)}


@pytest.mark.parametrize("same_score", [True, False])
async def test_roles_reach_more_sessions_than_one_batch(store: Store, same_score: bool) -> None:
    """However many sessions, each has the new roles, also those that share an instant."""
    sessions = await crowded_user(store)
    if same_score:
        scored = [word for each in sessions for word in (9_999_999_999_999, each)]
        await store.do("ZADD", keys.session_index("ada"), *scored)
    await store.directory.set_roles("ada", ("changed",))
    assert await roles_of(store, sessions) == {("changed",)}


async def test_a_session_that_ends_between_batches_hides_no_other(store: Store) -> None:
    """The session at which the next batch would begin is gone: the rest has the new roles all the same."""
    sessions = await crowded_user(store)

    async def end_where_the_batch_stopped() -> None:
        [last] = await store.do("ZRANGE", keys.session_index("ada"), -BATCH, -BATCH)
        assert await store.writer().end("ada", last.decode())

    meddling = Meddling(store, 1, end_where_the_batch_stopped)
    await store.through(meddling).directory.set_roles("ada", ("changed",))
    assert await roles_of(store, sessions) == {("changed",)}


async def test_of_two_changes_of_roles_the_later_one_holds(store: Store) -> None:
    """A second change comes between the batches of the first: no session keeps the first one's roles."""
    sessions = await crowded_user(store)
    meddling = Meddling(store, 1, lambda: store.directory.set_roles("ada", ("later",)))
    await store.through(meddling).directory.set_roles("ada", ("earlier",))
    assert await roles_of(store, sessions) == {("later",)}


async def test_disabling_ends_every_session(store: Store) -> None:
    """Disabled, a user has no session; enabled again, the old ones stay ended (ASVS 7.4.2)."""
    await store.directory.create(new_user())
    await several_sessions(store)
    change = await store.directory.set_disabled("ada", disabled=True)
    assert change is not None
    assert (change.user.disabled, change.ended_count) == (True, 3)
    assert not await store.keys("user_session*")
    change = await store.directory.set_disabled("ada", disabled=False)
    assert change is not None
    assert (change.user.disabled, change.ended_count) == (False, 0)
    assert not await store.keys("user_session*")


async def test_deleting_ends_more_sessions_than_one_batch(store: Store) -> None:
    """The user, the name, the known devices and every session go."""
    await store.directory.create(new_user())
    writer, count = store.writer(), BATCH + 60
    for _ in range(count // 40):
        await asyncio.gather(*(writer.create(new_session()) for _ in range(40)))
    change = await store.directory.delete("ada")
    assert change is not None
    assert change.ended_count == count
    assert change.user.username == "Ada"
    assert await store.keys() == set()
