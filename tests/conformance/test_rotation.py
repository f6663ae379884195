"""Refresh by generation: one rotation, equal answers for its repetitions, theft noticed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from session_service.domain.models import LiveState, Rotation, RotationRefused, SessionPolicy
from session_service.domain.policy import RotationVerdict, judge_rotation, new_id
from session_service.storage import keys
from tests.support.stores import claims, new_session

if TYPE_CHECKING:
    from session_service.domain.models import NewSession
    from tests.support.stores import Store


def accepted(outcome: Rotation | RotationRefused) -> Rotation:
    """The rotation, which must not have been refused."""
    assert isinstance(outcome, Rotation), outcome
    return outcome


async def rotated_long_ago(store: Store, new: NewSession, milliseconds: int = 60_000) -> None:
    """Put the session's last rotation into the past."""
    now = await store.now_ms()
    await store.do("HSET", keys.session("ada", new.session_id), "refresh_rotated_at", now - milliseconds)


async def test_a_refresh_makes_the_next_generation(store: Store) -> None:
    """The successor is a new access token beside the old one, which lives out its own time."""
    writer, new, token = store.writer(), new_session(), new_id()
    created = await writer.create(new)
    rotation = accepted(await writer.rotate("ada", new.session_id, 1, token))
    now = rotation.token_issued_ms
    assert rotation == Rotation(token, 2, now, now + 1_800_000, created.session_expires_ms, repeated=False)
    for each in (token, new.token_id):
        state = await store.sessions.read(claims("ada", new.session_id, each))
        assert isinstance(state, LiveState)
        assert state.token_session_id == new.session_id
        assert state.last_active_ms == now


async def test_the_spent_token_gets_the_same_successor_within_the_grace(store: Store) -> None:
    """A lost reply or a second tab gets an equal answer, and nothing rotates again (I7)."""
    writer, new = store.writer(), new_session()
    await writer.create(new)
    first = accepted(await writer.rotate("ada", new.session_id, 1, new_id()))
    before = await store.do("HGETALL", keys.session("ada", new.session_id))
    again = accepted(await writer.rotate("ada", new.session_id, 1, new_id()))
    assert again.repeated
    assert (again.token_id, again.generation) == (first.token_id, first.generation)
    assert (again.token_issued_ms, again.token_expires_ms) == (first.token_issued_ms, first.token_expires_ms)
    assert await store.do("HGETALL", keys.session("ada", new.session_id)) == before
    assert len(await store.keys("token:*")) == 2


async def test_generations_follow_one_another(store: Store) -> None:
    """Each successor can be refreshed in its turn."""
    writer, new = store.writer(), new_session()
    await writer.create(new)
    for generation in range(1, 6):
        rotation = accepted(await writer.rotate("ada", new.session_id, generation, new_id()))
        assert (rotation.generation, rotation.repeated) == (generation + 1, False)


@pytest.mark.parametrize("presented", [0, 1, 2, 7])
async def test_a_spent_token_out_of_its_grace_ends_the_session(store: Store, presented: int) -> None:
    """Whoever shows a generation other than the current one too late has stolen it, or was stolen from."""
    writer, new = store.writer(), new_session()
    await writer.create(new)
    for generation in (1, 2):
        newest = accepted(await writer.rotate("ada", new.session_id, generation, new_id())).token_id
    await rotated_long_ago(store, new)
    assert await writer.rotate("ada", new.session_id, presented, new_id()) is RotationRefused.REUSED
    assert await store.sessions.read(claims("ada", new.session_id, newest)) is None
    assert not await store.keys("user_session*")
    assert await store.do("EXISTS", keys.token("ada", newest)) == 0
    assert await writer.rotate("ada", new.session_id, 3, new_id()) is RotationRefused.ENDED


async def test_two_generations_back_are_theft_also_within_the_grace(store: Store) -> None:
    """The grace is for the token spent last, and for no other."""
    writer, new = store.writer(), new_session()
    await writer.create(new)
    await writer.rotate("ada", new.session_id, 1, new_id())
    await writer.rotate("ada", new.session_id, 2, new_id())
    assert await writer.rotate("ada", new.session_id, 1, new_id()) is RotationRefused.REUSED


async def test_the_current_token_is_good_however_old(store: Store) -> None:
    """A refresh token that was not used yet does not age, as long as its session is alive."""
    writer, new = store.writer(), new_session()
    await writer.create(new)
    await writer.rotate("ada", new.session_id, 1, new_id())
    await rotated_long_ago(store, new, 20 * 3_600_000)
    assert accepted(await writer.rotate("ada", new.session_id, 2, new_id())).generation == 3


async def test_refreshing_what_is_not_there_stores_nothing(store: Store) -> None:
    """An ended session stays ended (I4)."""
    assert await store.writer().rotate("ada", new_id(), 1, new_id()) is RotationRefused.ENDED
    assert await store.keys() == set()


async def test_many_refreshes_at_once_are_one_rotation(store: Store) -> None:
    """Forty tabs refresh at once: one rotation, forty equal answers, no false theft."""
    writer, new = store.writer(), new_session()
    await writer.create(new)
    outcomes = await asyncio.gather(*(writer.rotate("ada", new.session_id, 1, new_id()) for _ in range(40)))
    rotations = [accepted(each) for each in outcomes]
    assert sum(not each.repeated for each in rotations) == 1
    assert len({(each.token_id, each.generation, each.token_expires_ms) for each in rotations}) == 1
    assert len(await store.keys("token:*")) == 2


async def test_a_token_never_outlives_its_session(store: Store) -> None:
    """Near the session's absolute end the new token is shorter, in the answer and in Redis."""
    writer, new = store.writer(session_expire=100, token_expire=3_600), new_session()
    created = await writer.create(new)
    assert created.token_expires_ms == created.session_expires_ms
    rotation = accepted(await writer.rotate("ada", new.session_id, 1, new_id()))
    assert rotation.token_expires_ms == created.session_expires_ms
    again = accepted(await writer.rotate("ada", new.session_id, 1, new_id()))
    assert again.token_expires_ms == created.session_expires_ms
    for token in (new.token_id, rotation.token_id):
        assert 0 < await store.do("PTTL", keys.token("ada", token)) <= 100_000


async def test_a_token_deleted_by_hand_is_not_brought_back(store: Store) -> None:
    """Within the grace the repetition names the same token, and does not revive it."""
    writer, new = store.writer(), new_session()
    await writer.create(new)
    rotation = accepted(await writer.rotate("ada", new.session_id, 1, new_id()))
    await store.do("DEL", keys.token("ada", rotation.token_id))
    assert accepted(await writer.rotate("ada", new.session_id, 1, new_id())).repeated
    assert await store.do("EXISTS", keys.token("ada", rotation.token_id)) == 0


@given(
    presented=st.integers(0, 6),
    current=st.integers(1, 6),
    age=st.integers(0, 40_000),
    grace=st.integers(0, 30),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_the_script_judges_as_the_policy_does(
    store: Store, presented: int, current: int, age: int, grace: int
) -> None:
    """For any generations, age and grace, the script and the pure rule come to the same verdict."""
    # The clock goes on between setting the scene and the script's look at it.
    assume(not -1_000 < grace * 1_000 - age < 1_000)
    writer, new = store.writer(refresh_grace=grace), new_session()
    await writer.create(new)
    now = await store.now_ms()
    fields = ("refresh_generation", current, "refresh_rotated_at", now - age)
    await store.do("HSET", keys.session("ada", new.session_id), *fields)
    outcome = await writer.rotate("ada", new.session_id, presented, new_id())
    expected = judge_rotation(SessionPolicy(refresh_grace=grace), presented, current, now - age, now)
    assert _verdict(outcome) is expected


def _verdict(outcome: Rotation | RotationRefused) -> RotationVerdict | None:
    if isinstance(outcome, Rotation):
        return RotationVerdict.REPEAT if outcome.repeated else RotationVerdict.ROTATE
    return RotationVerdict.REUSED if outcome is RotationRefused.REUSED else None
