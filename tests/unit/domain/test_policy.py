"""The rules of a session's life, as functions of values."""

from __future__ import annotations

import string
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from session_service.domain.models import Device, SessionPolicy
from session_service.domain.policy import (
    PageCursor,
    RotationVerdict,
    decode_cursor,
    device_fingerprint,
    encode_cursor,
    idle_deadline_ms,
    judge_rotation,
    ms_to_touch,
    new_id,
    newest_first,
    normalise_username,
    token_deadline_ms,
    touch_due,
)

INSTANTS = st.integers(0, 2**45)
SPANS = st.integers(1, 10**7)
IDS = st.text(string.ascii_letters + string.digits + "_-", min_size=22, max_size=22)


def test_ids_have_128_bits_and_are_url_safe() -> None:
    """22 url-safe characters, never the same twice (ASVS 11.5.1)."""
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(
        len(each) == 22 and set(each) <= set(string.ascii_letters + string.digits + "_-") for each in ids
    )


@given(st.text())
def test_normalising_a_name_twice_changes_nothing(name: str) -> None:
    """The normal form is stable, so a name is compared the same way everywhere."""
    once = normalise_username(name)
    assert normalise_username(once) == once


@given(st.text())
def test_case_and_composition_do_not_tell_names_apart(name: str) -> None:
    """A name equals its upper case where that folds back, and its decomposed spelling."""
    assert normalise_username(unicodedata.normalize("NFD", name)) == normalise_username(name)
    assert normalise_username("ﬁNN Straße") == normalise_username("finn STRASSE")


@given(INSTANTS, SPANS, st.integers(0, 10**7), SPANS)
def test_nothing_outlives_its_session(now: int, life: int, idle: int, token: int) -> None:
    """Idle and token deadlines never lie beyond the absolute end, nor before now."""
    policy = SessionPolicy(session_expire=life, idle_timeout=idle, token_expire=token)
    expires = now + life * 1000
    for deadline in (idle_deadline_ms(policy, now, expires), token_deadline_ms(policy, now, expires)):
        assert now < deadline <= expires
    if not idle:
        assert idle_deadline_ms(policy, now, expires) == expires


@given(INSTANTS, st.integers(0, 10**6), SPANS)
def test_a_touch_is_due_once_per_interval(active: int, elapsed: int, interval: int) -> None:
    """Not before the interval is over, always after."""
    policy = SessionPolicy(touch_interval=interval)
    assert touch_due(policy, active + elapsed, active) == (elapsed >= interval * 1000)


@given(INSTANTS, st.integers(0, 10**6), SPANS)
def test_a_clock_behind_the_stores_does_not_put_off_touches(active: int, behind: int, interval: int) -> None:
    """Activity an interval or more in the future is written again, lest sessions in use idle out."""
    policy = SessionPolicy(touch_interval=interval)
    assert touch_due(policy, active - behind, active) == (behind >= interval * 1000)


@given(INSTANTS, st.integers(-(10**6), 10**6), SPANS)
def test_the_time_to_a_touch_ends_when_one_is_due(active: int, elapsed: int, interval: int) -> None:
    """A touch that is not due becomes due after just so long; one that is due has no time left."""
    policy, now = SessionPolicy(touch_interval=interval), active + elapsed
    left = ms_to_touch(policy, now, active)
    assert (left == 0) == touch_due(policy, now, active)
    if left:
        assert not touch_due(policy, now + left - 1, active)
    assert touch_due(policy, now + left, active)


@given(st.integers(1, 2**40), st.integers(-3, 3), st.integers(0, 60_000), st.integers(0, 30))
def test_a_rotation_is_judged_by_generation_and_grace(
    current: int, offset: int, elapsed: int, grace: int
) -> None:
    """The current one rotates, the one before repeats within the grace, all else was stolen."""
    policy = SessionPolicy(refresh_grace=grace)
    verdict = judge_rotation(policy, current + offset, current, 1000, 1000 + elapsed)
    if offset == 0:
        assert verdict is RotationVerdict.ROTATE
    elif offset == -1 and elapsed <= grace * 1000:
        assert verdict is RotationVerdict.REPEAT
    else:
        assert verdict is RotationVerdict.REUSED


def test_a_device_is_known_by_its_id_or_else_by_its_kind() -> None:
    """The id alone decides where there is one; without, platform, name and agent do."""
    assert device_fingerprint(Device(device_id="a", name="x")) == device_fingerprint(
        Device(device_id="a", name="y")
    )
    assert device_fingerprint(Device(name="x")) != device_fingerprint(Device(name="y"))
    assert device_fingerprint(Device(platform="a", name="b")) != device_fingerprint(Device(platform="ab"))


@given(st.text("abc", min_size=1), st.lists(st.text().filter(lambda each: "\0" not in each)))
def test_a_cursor_reads_back_as_it_was_written(kind: str, parts: list[str]) -> None:
    """Every cursor round-trips, and none passes for another kind."""
    token = encode_cursor(kind, *parts)
    assert decode_cursor(kind, token) == tuple(parts)
    assert decode_cursor(kind + "x", token) is None


@given(st.text())
def test_no_text_upsets_the_cursor(token: str) -> None:
    """Made-up page tokens are None, never an exception, and what is read back is canonical."""
    cursor = PageCursor.decode(token)
    assert cursor is None or cursor.encode() == token


@given(st.lists(st.tuples(IDS, st.integers(0, 50)), unique_by=lambda each: each[0]), st.integers(1, 7))
def test_pages_cover_a_listing_without_gap_or_repeat(activity: list[tuple[str, int]], size: int) -> None:
    """Following cursors visits each session once, newest activity first."""
    seen: list[tuple[str, int]] = []
    after = None
    while rest := newest_first(activity, after):
        seen += rest[:size]
        after = PageCursor(seen[-1][1], seen[-1][0])
    assert sorted(seen) == sorted(activity)
    assert [active for _, active in seen] == sorted((active for _, active in activity), reverse=True)
