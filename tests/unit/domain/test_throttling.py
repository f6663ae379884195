"""Throttling: a guesser is slowed, the owner is not locked out."""

from __future__ import annotations

import collections
from collections.abc import Sequence

import pytest

from session_service.domain.errors import TooManyAttempts
from session_service.domain.ports import Counter
from session_service.domain.throttling import LoginAttempt, LoginThrottle, ThrottlePolicy

POLICY = ThrottlePolicy(per_account_and_address=3, per_address=5, per_account=7, window=60)


class Counters:
    """Fixed windows that never end."""

    def __init__(self) -> None:
        self.counts: collections.Counter[tuple[str, str]] = collections.Counter()

    async def take(self, counters: Sequence[Counter], window_seconds: int) -> int:
        """Count, or say how long to wait."""
        for scope, subject, limit in counters:
            if self.counts[scope, subject] >= limit:
                return window_seconds * 1000
            self.counts[scope, subject] += 1
        return 0

    async def give_back(self, counters: Sequence[Counter], *, clear_first: bool = False) -> None:
        """Uncount one, or forget all."""
        for place, (scope, subject, _) in enumerate(counters):
            if clear_first and not place:
                del self.counts[scope, subject]
            else:
                self.counts[scope, subject] -= 1


async def _guesses(throttle: LoginThrottle, attempt: LoginAttempt, most: int = 50) -> int:
    """How many attempts get through."""
    for number in range(most):
        try:
            await throttle.take(attempt)
        except TooManyAttempts:
            return number
    return most


def _throttle() -> tuple[LoginThrottle, Counters]:
    counters = Counters()
    return LoginThrottle(counters, POLICY), counters


async def test_one_place_gets_few_guesses_at_one_account() -> None:
    """The account-and-address counter ends them, with the time to wait."""
    throttle, _ = _throttle()
    attempt = LoginAttempt("ada", "192.0.2.1")
    assert await _guesses(throttle, attempt) == 3
    with pytest.raises(TooManyAttempts) as raised:
        await throttle.take(attempt)
    assert raised.value.retry_after == 60


async def test_one_place_cannot_use_up_the_account() -> None:
    """Attempts refused at the narrow counter do not reach the account's: others still get in."""
    throttle, counters = _throttle()
    await _guesses(throttle, LoginAttempt("ada", "192.0.2.1"))
    assert counters.counts["account", "ada"] == 3
    assert await _guesses(throttle, LoginAttempt("ada", "192.0.2.2"), 3) == 3


async def test_one_place_gets_few_guesses_at_many_accounts() -> None:
    """Password spraying ends at the address's counter, for accounts not tried before too."""
    throttle, _ = _throttle()
    passed = [await _guesses(throttle, LoginAttempt(f"user{n}", "192.0.2.1"), 1) for n in range(8)]
    assert passed == [1] * 5 + [0] * 3


async def test_many_places_cannot_keep_the_owner_out() -> None:
    """The account's counter is full for strangers; a device known to the account passes."""
    throttle, _ = _throttle()
    passed = [await _guesses(throttle, LoginAttempt("ada", f"192.0.2.{n}"), 1) for n in range(10)]
    assert sum(passed) == 7
    assert await _guesses(throttle, LoginAttempt("ada", "198.51.100.1", known_device=True), 1) == 1
    # Also from the very address that a guesser has used up.
    await _guesses(throttle, LoginAttempt("bob", "192.0.2.77"))
    assert await _guesses(throttle, LoginAttempt("bob", "192.0.2.77", known_device=True), 1) == 1


async def test_success_and_what_was_not_looked_at_do_not_count() -> None:
    """A right password clears its own counter and gives the others back; a shed login likewise."""
    throttle, counters = _throttle()
    attempt = LoginAttempt("ada", "192.0.2.1")
    for _ in range(20):
        await throttle.take(attempt)
        await throttle.succeeded(attempt)
    for _ in range(20):
        await throttle.take(attempt)
        await throttle.give_back(attempt)
    assert not any(counters.counts.values())


async def test_without_an_address_only_the_account_counts() -> None:
    """An unknown address is not a place that all who have none would share."""
    throttle, counters = _throttle()
    await throttle.take(LoginAttempt("ada", ""))
    assert {scope for scope, _ in counters.counts} == {"account_address", "account"}


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0::1", "2001:db8::/64"),
        ("2001:db8::ffff:1:2", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
async def test_one_subscriber_is_one_place(address: str, counted: str) -> None:
    """Whoever has a network of 64 bits has one counter, however the address is spelled."""
    throttle, counters = _throttle()
    await throttle.take(LoginAttempt("ada", address))
    assert counters.counts["address", counted] == 1
    await throttle.give_back(LoginAttempt("ada", address))
    assert not any(counters.counts.values())


async def test_a_stolen_session_guesses_in_one_place() -> None:
    """Where the password is asked for in a session, its guesses count together from everywhere, and alone."""
    throttle, _ = _throttle()
    guesses = [LoginAttempt("ada", f"192.0.2.{n}", session_id="stolen") for n in range(10)]
    assert sum([await _guesses(throttle, each, 1) for each in guesses]) == 3
    assert await _guesses(throttle, LoginAttempt("ada", "198.51.100.1", session_id="owner's"), 1) == 1
    assert await _guesses(throttle, LoginAttempt("ada", "198.51.100.2"), 1) == 1
