"""Creating, reading, touching and ending sessions, and repeating each."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import ResponseError

from session_service.domain.errors import InvalidCredentials, SessionEnded
from session_service.domain.models import NO_DEVICE, LiveState, Session
from session_service.domain.policy import new_id
from session_service.storage import keys
from session_service.storage.sessions import BATCH
from tests.support.stores import claims, new_session, new_user

if TYPE_CHECKING:
    from tests.support.stores import Store


async def test_a_created_session_is_read_back_as_given(store: Store) -> None:
    """Nothing of a session is lost or changed on the way into Redis and back."""
    new = new_session(username="Ådá 💡", roles=("a", "b.c:d-e"))
    created = await store.writer(session_expire=600, token_expire=60).create(new)
    [listed] = await store.sessions.fetch("ada", [new.session_id])
    now = created.token_issued_ms
    assert listed == Session(
        new.session_id, "ada", "Ådá 💡", ("a", "b.c:d-e"), new.device, "203.0.113.7", now, now, now + 600_000
    )
    assert created.token_expires_ms == now + 60_000
    assert created.session_expires_ms == now + 600_000
    assert (created.generation, created.repeated, created.evicted) == (1, False, ())


async def test_a_check_sees_the_session_and_its_token(store: Store) -> None:
    """One read answers for the session and for the token (I1)."""
    new = new_session()
    created = await store.writer().create(new)
    state = await store.sessions.read(claims("ada", new.session_id, new.token_id))
    now = created.token_issued_ms
    assert state == LiveState(new.session_id, "Ada", ("user", "editor"), now, created.session_expires_ms)


async def test_a_check_tells_other_tokens_apart(store: Store) -> None:
    """A token that is gone is none, and a token of another session names that one (I1)."""
    writer, one, other = store.writer(), new_session(), new_session()
    await writer.create(one)
    await writer.create(other)
    gone = await store.sessions.read(claims("ada", one.session_id, new_id()))
    foreign = await store.sessions.read(claims("ada", one.session_id, other.token_id))
    assert isinstance(gone, LiveState)
    assert gone.token_session_id is None
    assert isinstance(foreign, LiveState)
    assert foreign.token_session_id == other.session_id


async def test_many_tokens_are_read_as_each_alone(store: Store) -> None:
    """Live, ended, without its own key, repeated, of one user or another: as by ``read``, in order."""
    writer = store.writer()
    news = [new_session(f"user-{number % 7}") for number in range(12)]
    for new in news:
        await writer.create(new)
    await writer.end(news[1].user_id, news[1].session_id)
    await store.do("DEL", keys.token(news[2].user_id, news[2].token_id))
    tokens = [claims(new.user_id, new.session_id, new.token_id) for new in (*news, news[0])]
    states = await store.sessions.read_all(tokens)
    assert states == [await store.sessions.read(each) for each in tokens]
    assert states == await asyncio.gather(*map(store.sessions.read, tokens))
    assert states[1] is None
    assert len(set(states)) == len(news)


async def test_what_makes_no_sense_harms_no_other(store: Store) -> None:
    """A key of another type and a field that is no number are errors of their own tokens alone."""
    writer, news = store.writer(), [new_session(user_id) for user_id in ("ada", "bob", "cyd", "dan")]
    for new in news:
        await writer.create(new)
    _, typed, spoilt, _ = news
    await store.do("DEL", keys.token("bob", typed.token_id))
    await store.do("HSET", keys.token("bob", typed.token_id), "a", "b")
    await store.do("HSET", keys.session("cyd", spoilt.session_id), "expires_at", "soon")
    tokens = [claims(new.user_id, new.session_id, new.token_id) for new in news]
    states = await store.sessions.read_all(tokens)
    kinds = [LiveState, ResponseError, ValueError, LiveState]
    assert [isinstance(state, kind) for state, kind in zip(states, kinds, strict=True)] == [True] * 4


async def test_absent_sessions_are_none(store: Store) -> None:
    """What was never there is absent, and not an error."""
    assert await store.sessions.read(claims("nobody", new_id(), new_id())) is None
    assert await store.sessions.activity("nobody") == []
    assert await store.sessions.fetch("nobody", [new_id()]) == []
    assert await store.sessions.fetch("nobody", []) == []
    assert not await store.sessions.knows_device("nobody", "any")


async def test_empty_fields_are_left_out(store: Store) -> None:
    """What is not known takes no memory, and reads back as empty."""
    new = new_session(device=NO_DEVICE, roles=(), ip_address="")
    await store.writer().create(new)
    names = await store.do("HKEYS", keys.session("ada", new.session_id))
    assert not {b"device_info", b"roles", b"ip_address"} & set(names)
    [listed] = await store.sessions.fetch("ada", [new.session_id])
    assert (listed.device, listed.roles, listed.ip_address) == (NO_DEVICE, (), "")


async def test_sessions_are_fetched_in_the_order_asked_for(store: Store) -> None:
    """A page keeps its order; those that have ended meanwhile are missing."""
    writer, news = store.writer(), [new_session() for _ in range(4)]
    for new in news:
        await writer.create(new)
    await writer.end("ada", news[1].session_id)
    wanted = [each.session_id for each in reversed(news)]
    fetched = await store.sessions.fetch("ada", wanted)
    assert [each.session_id for each in fetched] == [each for each in wanted if each != news[1].session_id]


async def test_activity_lists_live_sessions_only(store: Store) -> None:
    """An index entry whose session is gone is not listed."""
    writer, alive, dead = store.writer(), new_session(), new_session()
    await writer.create(alive)
    created = await writer.create(dead)
    await store.do("DEL", keys.session("ada", dead.session_id))
    [(session_id, last_active)] = await store.sessions.activity("ada")
    assert session_id == alive.session_id
    assert last_active <= created.token_issued_ms


async def test_touching_notes_activity(store: Store) -> None:
    """A touch moves the last activity to Redis's now, and nothing else."""
    new = new_session()
    await store.writer().create(new)
    key = keys.session("ada", new.session_id)
    await store.do("HSET", key, "last_active", 5)
    before = await store.now_ms()
    await store.writer().touch("ada", new.session_id)
    [(_, last_active)] = await store.sessions.activity("ada")
    assert before <= last_active <= await store.now_ms()


async def test_nothing_comes_from_touching_or_ending_what_is_not_there(store: Store) -> None:
    """Changes to an absent session leave no key behind (I4)."""
    writer = store.writer(idle_timeout=60)
    await writer.touch("ada", new_id())
    assert not await writer.end("ada", new_id())
    assert await writer.end_all("ada") == 0
    assert await store.keys() == set()


async def test_ending_leaves_nothing_of_the_session(store: Store) -> None:
    """The session, its newest token and its index entry go in one step, once (I2, I8)."""
    writer, new = store.writer(), new_session()
    await writer.create(new)
    rotation = await writer.rotate("ada", new.session_id, 1, new_id())
    assert await writer.end("ada", new.session_id)
    assert not await writer.end("ada", new.session_id)
    left = await store.keys()
    assert left == {keys.user_devices("ada"), keys.token("ada", new.token_id)}, rotation
    assert await store.sessions.read(claims("ada", new.session_id, new.token_id)) is None


async def test_ending_all_spares_the_one_to_keep(store: Store) -> None:
    """All but one end, and the number is that of those that were alive."""
    writer, news = store.writer(), [new_session() for _ in range(5)]
    for new in news:
        await writer.create(new)
    await store.do("DEL", keys.session("ada", news[4].session_id))
    assert await writer.end_all("ada", keep=news[0].session_id) == 3
    assert [each for each, _ in await store.sessions.activity("ada")] == [news[0].session_id]
    assert await writer.end_all("ada", keep=news[0].session_id) == 0
    assert await writer.end_all("ada") == 1
    assert not await store.keys("user_session*")


async def test_ending_all_does_not_touch_other_users(store: Store) -> None:
    """One user's sessions are one user's."""
    writer = store.writer()
    await writer.create(new_session("ada"))
    await writer.create(new_session("bob"))
    await writer.end_all("ada")
    assert len(await store.sessions.activity("bob")) == 1


async def test_ending_all_goes_beyond_one_batch(store: Store) -> None:
    """However many sessions a user has, none is left, nor any of their newest tokens."""
    writer = store.writer()
    news = [new_session() for _ in range(2 * BATCH + 7)]
    for start in range(0, len(news), 50):
        await asyncio.gather(*map(writer.create, news[start : start + 50]))
    assert len(await store.sessions.activity("ada")) == len(news)
    kept = news[3].session_id
    assert await writer.end_all("ada", keep=kept) == len(news) - 1
    assert await store.keys("user_session:*") == {keys.session("ada", kept)}
    assert await store.keys("token:*") == {keys.token("ada", news[3].token_id)}
    assert await writer.end_all("ada") == 1


async def test_a_repeated_request_id_gives_the_same_session(store: Store) -> None:
    """A login whose answer was lost is repeated, not doubled; the answer is equal (I7)."""
    writer = store.writer()
    first = await writer.create(new_session(request_id="r-1"))
    again = await writer.create(new_session(request_id="r-1"))
    assert again == replace(first, repeated=True)
    assert len(await store.sessions.activity("ada")) == 1


async def test_a_repetition_says_of_the_device_what_the_first_answer_said(store: Store) -> None:
    """A device that was known at the first call is not new at the second, nor the other way round."""
    writer = store.writer()
    for request_id, new_device in (("r-1", True), ("r-2", False)):
        for _ in range(2):
            created = await writer.create(new_session(request_id=request_id, fingerprint="phone"))
            assert created.new_device is new_device


async def test_a_repeated_request_id_stands_after_a_refresh(store: Store) -> None:
    """The repetition answers with the session as it stands: its newest token and generation."""
    writer = store.writer()
    first = await writer.create(new_session(request_id="r-1"))
    rotation = await writer.rotate("ada", first.session_id, 1, new_id())
    again = await writer.create(new_session(request_id="r-1"))
    assert (again.token_id, again.generation) == (getattr(rotation, "token_id", None), 2)
    assert again.token_expires_ms == getattr(rotation, "token_expires_ms", None)


async def test_a_repeated_request_id_brings_nothing_back(store: Store) -> None:
    """Once its session has ended, a request id opens no other (I4)."""
    writer = store.writer()
    first = await writer.create(new_session(request_id="r-1"))
    await writer.end("ada", first.session_id)
    with pytest.raises(SessionEnded):
        await writer.create(new_session(request_id="r-1"))
    assert await store.sessions.activity("ada") == []


async def test_many_repetitions_at_once_give_one_session(store: Store) -> None:
    """A request id sent thirty times at once makes one session (I7)."""
    writer = store.writer()
    answers = await asyncio.gather(*(writer.create(new_session(request_id="r-1")) for _ in range(30)))
    assert len({replace(each, repeated=False) for each in answers}) == 1
    assert sum(not each.repeated for each in answers) == 1
    assert len(await store.sessions.activity("ada")) == 1


async def test_request_ids_are_each_users_own_and_short_lived(store: Store) -> None:
    """Two users may choose the same id, and it is forgotten after a minute."""
    writer = store.writer()
    ada = await writer.create(new_session("ada", request_id="r-1"))
    bob = await writer.create(new_session("bob", request_id="r-1"))
    assert ada.session_id != bob.session_id
    [remembered] = [key for key in await store.keys() if key.startswith("login_request:{ada}:")]
    assert 0 < await store.do("PTTL", remembered) <= 60_000


async def test_a_request_id_holds_for_one_proof_and_one_device(store: Store) -> None:
    """Guessing a request id gives a password login neither a trusted one's session nor another device's."""
    writer = store.writer()
    ada = await store.directory.create(new_user("ada", "ada"))
    trusted = new_session("ada", fingerprint="phone", request_id="r-1")
    password = replace(trusted, password_hash=ada.password_hash, session_id=new_id(), token_id=new_id())
    other = replace(password, fingerprint="laptop", session_id=new_id(), token_id=new_id())
    made = [await writer.create(each) for each in (trusted, password, other)]
    assert len({each.session_id for each in made}) == 3


async def test_a_device_is_new_once(store: Store) -> None:
    """The first session on a device marks it new; the next one does not."""
    writer = store.writer()
    assert not await store.sessions.knows_device("ada", "phone")
    assert (await writer.create(new_session(fingerprint="phone"))).new_device
    assert await store.sessions.knows_device("ada", "phone")
    assert not (await writer.create(new_session(fingerprint="phone"))).new_device
    assert (await writer.create(new_session(fingerprint="laptop"))).new_device


async def test_a_device_is_forgotten_after_180_days(store: Store) -> None:
    """A device not seen for 180 days is new again, also before its entry is cleared away."""
    days = 86_400_000
    now = await store.now_ms()
    await store.do("ZADD", keys.user_devices("ada"), now - 181 * days, "old", now - 179 * days, "known")
    assert not await store.sessions.knows_device("ada", "old")
    assert await store.sessions.knows_device("ada", "known")
    assert (await store.writer().create(new_session(fingerprint="old"))).new_device


async def test_known_devices_are_bounded(store: Store) -> None:
    """A client that invents devices fills no memory: the hundred seen last are kept."""
    writer = store.writer()
    for number in range(105):
        await writer.create(new_session(fingerprint=f"device-{number}"))
    assert await store.do("ZCARD", keys.user_devices("ada")) == 100
    assert await store.sessions.knows_device("ada", "device-104")
    assert not await store.sessions.knows_device("ada", "device-0")


@pytest.mark.parametrize("trusted", [False, True])
async def test_name_and_roles_are_the_directorys(store: Store, trusted: bool) -> None:
    """What the directory says in the same step counts, not what was read before or told by an SSO."""
    user = await store.directory.create(new_user(username="Ada", roles=("viewer",)))
    password_hash = None if trusted else user.password_hash
    new = new_session(username="stale", roles=("admin",), password_hash=password_hash)
    created = await store.writer().create(new)
    assert (created.username, created.roles) == ("Ada", ("viewer",))
    [listed] = await store.sessions.fetch("ada", [new.session_id])
    assert (listed.username, listed.roles) == ("Ada", ("viewer",))


async def test_a_password_login_needs_the_hash_it_was_checked_against(store: Store) -> None:
    """A password changed, a user disabled or removed since the check: the login is refused."""
    user = await store.directory.create(new_user())
    login = new_session(password_hash=user.password_hash)
    with pytest.raises(InvalidCredentials):
        await store.writer().create(replace(login, password_hash="$another$"))
    await store.directory.set_disabled("ada", disabled=True)
    with pytest.raises(InvalidCredentials):
        await store.writer().create(login)
    await store.directory.delete("ada")
    with pytest.raises(InvalidCredentials):
        await store.writer().create(login)
    assert not await store.keys("user_session*")
    assert not await store.keys("token:*")


async def test_a_trusted_login_needs_no_user_but_no_disabled_one(store: Store) -> None:
    """A login proven elsewhere opens a session for anyone but a disabled user of the directory."""
    writer = store.writer()
    assert (await writer.create(new_session("stranger", username="S", roles=("r",)))).roles == ("r",)
    await store.directory.create(new_user(disabled=True))
    with pytest.raises(InvalidCredentials):
        await writer.create(new_session("ada"))
