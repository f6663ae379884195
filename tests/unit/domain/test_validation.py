"""What request fields may hold, and that every wrong one is named."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_service.domain.errors import InvalidArgument
from session_service.domain.models import Device
from session_service.domain.validation import Checker

PRINTABLE = string.ascii_letters + string.digits + string.punctuation


def _wrong(check: Checker) -> set[str]:
    try:
        check.done()
    except InvalidArgument as error:
        return {one.field for one in error.violations}
    return set()


def test_all_wrong_fields_are_named_at_once() -> None:
    """One answer names each field, and its text says so too."""
    check = Checker()
    check.username("username", "")
    check.new_password("password", "short", ())
    with pytest.raises(InvalidArgument) as raised:
        check.done()
    assert str(raised.value) == "username: is required; password: must have 8 to 256 characters"


@given(st.text(PRINTABLE, min_size=1, max_size=128))
def test_printable_names_are_names(name: str) -> None:
    """Any printable ASCII within the length will do."""
    check = Checker()
    check.username("username", name)
    assert not _wrong(check)


@pytest.mark.parametrize(
    "name",
    ["", "x" * 129, "a b", "a\tb", "a\0b", "a\u200bb", "a\u202eb", "a\u2028b", "a\u00a0b", "\ufdfa" * 10],
)
def test_other_names_are_not(name: str) -> None:
    """Empty, too long (also once normalised), blank, invisible or control characters are refused."""
    check = Checker()
    check.username("username", name)
    assert _wrong(check) == {"username"}


@given(st.text(min_size=8, max_size=256))
def test_a_password_is_taken_as_it_is(password: str) -> None:
    """Any 8 to 256 characters: no rules of composition, blanks and all (ASVS 6.2.5, 6.2.8)."""
    check = Checker()
    check.new_password("password", password, frozenset())
    assert not _wrong(check)


def test_common_passwords_are_refused_in_any_case() -> None:
    """A listed password is refused however it is written (ASVS 6.2.4)."""
    for password in ("password1", "PassWord1"):
        check = Checker()
        check.new_password("password", password, frozenset({"password1"}))
        assert _wrong(check) == {"password"}


@given(st.text(max_size=140))
def test_a_user_id_is_safe_wherever_it_goes(user_id: str) -> None:
    """What passes has no character that a key, a header, a path or a token would trip over."""
    check = Checker()
    check.user_id("user_id", user_id)
    if not _wrong(check):
        assert 0 < len(user_id) <= 128
        assert not set(user_id) - set(string.ascii_letters + string.digits + "._~@|:+-")


@given(st.text(max_size=30))
def test_a_session_id_is_exactly_one_form(session_id: str) -> None:
    """22 url-safe characters and nothing after them."""
    check = Checker()
    check.session_id("session_id", session_id)
    good = len(session_id) == 22 and not set(session_id) - set(string.ascii_letters + string.digits + "_-")
    assert bool(_wrong(check)) is not good


def test_a_device_is_bounded_in_each_field_and_in_all() -> None:
    """Each field has its length; all together have 4 KiB, in bytes."""
    limits = {"device_id": 128, "name": 128, "platform": 64, "user_agent": 1024, "app_version": 64}
    for name, limit in limits.items():
        for length, wrong in ((limit, set()), (limit + 1, {f"device.{name}"})):
            check = Checker()
            check.device("device", Device(**{name: "x" * length}))
            assert _wrong(check) == wrong
    check = Checker()
    check.device("device", Device(name="é", user_agent="\U0001f600" * 1024))
    assert _wrong(check) == {"device"}


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("", True),
        ("203.0.113.7", True),
        ("2001:db8::1", True),
        ("fe80::1%eth0", False),
        ("203.0.113", False),
        ("203.0.113.7:80", False),
        ("x", False),
    ],
)
def test_an_address_is_one(address: str, good: bool) -> None:
    """IPv4 or IPv6, no zone, no port; or none."""
    check = Checker()
    check.device("device", Device(ip_address=address))
    assert bool(_wrong(check)) is not good


@given(st.integers(-(2**31), 2**31 - 1))
def test_a_page_has_1_to_100_entries(size: int) -> None:
    """0 is the default, more than the most is the most, less than nothing is wrong."""
    check = Checker()
    used = check.page_size("page_size", size)
    assert _wrong(check) == ({"page_size"} if size < 0 else set())
    if size >= 0:
        assert used == (20 if size == 0 else min(size, 100))
