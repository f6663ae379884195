"""What is kept of a token's last check never decides the next one."""

from __future__ import annotations

from typing import Any, Final

import pytest

from session_service.domain.checks import Outcome, TokenCheck
from session_service.domain.errors import SessionEnded, StoreUnavailable, TokenExpired
from session_service.domain.models import AccessClaims, Identity, LiveState, SessionPolicy

NOW: Final = 1_800_000_000
LIVE: Final = LiveState("s-1", "ada", ("editor",), NOW * 1000, NOW * 1000 + 10**7)


class Double:
    """Tokens, store and clock in one: any token is good, and has the same claims until they are forgotten."""

    def __init__(self) -> None:
        self.now = NOW
        self.live: LiveState | Exception | None = LIVE
        self.touched = 0
        self.forget()

    def forget(self) -> None:
        """Verify anew."""
        self.claims = AccessClaims("u-1", "s-1", "t-1", NOW - 100, NOW + 1700)

    def verify(self, _token: str) -> AccessClaims:
        """Good until it expires."""
        if self.claims.expires_at <= self.now:
            raise TokenExpired
        return self.claims

    def ask(self, claims: list[AccessClaims], told: Any) -> None:
        """At once."""
        told(range(len(claims)), [self.live for _ in claims])

    async def touch(self, _user_id: str, _session_id: str) -> None:
        """Count it."""
        self.touched += 1


class Checking:
    """One token that is checked again and again."""

    def __init__(self) -> None:
        self.double = Double()
        double: Any = self.double
        self._check = TokenCheck(
            double,
            double,
            double,
            double,
            policy=SessionPolicy(),
            clock=lambda: self.double.now,
            steady=lambda: 0.0,
        )

    def check(self) -> Outcome | None:
        """What it comes to; ``None`` where that is not known at once."""
        found: list[Outcome] = []
        self._check.check_each(["token"], [0.0], lambda _, outcomes: found.extend(outcomes))
        return found[0] if found else None


@pytest.fixture
async def checking() -> Checking:
    """After a check that went well."""
    checking = Checking()
    assert isinstance(checking.check(), Identity)
    return checking


async def test_the_same_state_is_the_same_identity(checking: Checking) -> None:
    """So what was written of it once can be sent again."""
    assert checking.check() is checking.check()


@pytest.mark.parametrize(
    ("live", "error"),
    [
        (None, SessionEnded),
        (LIVE._replace(token_session_id=None), SessionEnded),
        (LIVE._replace(token_session_id="s-2"), SessionEnded),
        (StoreUnavailable(), StoreUnavailable),
    ],
)
async def test_a_state_that_is_not_good_refuses(
    checking: Checking, live: LiveState | Exception | None, error: type[Exception]
) -> None:
    """However good the one before was; and once it is good again, it is."""
    checking.double.live = live
    assert isinstance(checking.check(), error)
    assert isinstance(checking.check(), error)
    checking.double.live = LIVE
    assert isinstance(checking.check(), Identity)


async def test_other_roles_are_another_identity(checking: Checking) -> None:
    """An answer that was written of the old one is not found."""
    before = checking.check()
    assert isinstance(before, Identity)
    before.forms["answer"] = b"old"
    checking.double.live = LIVE._replace(roles=())
    after = checking.check()
    assert isinstance(after, Identity)
    assert (after.roles, after.forms) == ((), {})


async def test_an_expired_token_is_refused(checking: Checking) -> None:
    """Whatever the store says."""
    checking.double.now = NOW + 1700
    assert isinstance(checking.check(), TokenExpired)


async def test_activity_is_noted_of_what_is_remembered(checking: Checking) -> None:
    """As soon as that is due."""
    checking.double.now = NOW + 61
    assert checking.check() is None  # it is settled when the activity has been noted
    assert checking.double.live is LIVE


async def test_claims_that_are_verified_anew_begin_with_nothing(checking: Checking) -> None:
    """As after the keys were loaded anew."""
    before = checking.check()
    checking.double.forget()
    assert checking.check() == before
    assert checking.check() is not before
