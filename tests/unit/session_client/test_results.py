"""Results are values that are safe to print."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, asdict, fields, replace
from datetime import UTC, datetime, timedelta

import pytest
import session_client
from session_client import Identity, Login, Tokens, User

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LOGIN = Login(
    "SECRET-A",
    "Bearer",
    timedelta(minutes=30),
    "SECRET-R",
    "s1",
    NOW,
    User("u1", "ann", (), disabled=False, created_time=None),
    new_device=False,
)
TOKENS = Tokens("SECRET-A", "Bearer", timedelta(minutes=30), "SECRET-R", "s1", NOW)


@pytest.mark.parametrize("result", [LOGIN, TOKENS], ids=["login", "tokens"])
def test_tokens_are_not_printed(result: Tokens) -> None:
    """A result in a log or a traceback gives no token away, and the session's id is still there."""
    printed = f"{result} {result!r} {[result]}"

    assert "SECRET" not in printed
    assert "s1" in printed


@pytest.mark.parametrize(
    "name", ["Device", "Identity", "Login", "Page", "Session", "Stats", "Sweep", "Tokens"]
)
def test_results_are_frozen_and_slotted(name: str) -> None:
    """Nobody writes to a result by accident, neither to a field nor beside it."""
    kind = getattr(session_client, name)

    assert kind.__dataclass_params__.frozen
    assert "__slots__" in vars(kind)


def test_a_frozen_result() -> None:
    """Writing to a field fails."""
    with pytest.raises(FrozenInstanceError):
        TOKENS.session_id = "s2"  # type: ignore[misc]


FIRST = datetime(1, 1, 1, tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)
EXACT = datetime(2030, 1, 1, 12, 0, 0, 123_457, tzinfo=UTC)
IDENTITY = Identity("s1", "u1", "ann", ("a", "b"), FIRST, LAST, EXACT)


def test_an_identity_keeps_its_instants_exactly() -> None:
    """Though they are kept as numbers, instants come out as they went in, to the microsecond and in UTC."""
    instants = (IDENTITY.token_expire_time, IDENTITY.session_expire_time, IDENTITY.last_active_time)

    assert instants == (FIRST, LAST, EXACT)
    assert all(one.tzinfo is UTC for one in instants)
    assert f"last_active_time={EXACT!r}" in repr(IDENTITY)


def test_an_identity_is_a_dataclass_like_the_others() -> None:
    """Its fields are seven, and it compares, hashes, copies, pickles and matches by them."""
    same = replace(IDENTITY)

    assert [one.name for one in fields(Identity)] == list(asdict(IDENTITY)) == list(Identity.__match_args__)
    assert len(asdict(IDENTITY)) == 7
    assert same == IDENTITY
    assert hash(same) == hash(IDENTITY)
    assert replace(IDENTITY, last_active_time=LAST) != IDENTITY
    assert copy.copy(IDENTITY) == copy.deepcopy(IDENTITY) == pickle.loads(pickle.dumps(IDENTITY)) == IDENTITY  # noqa: S301


@pytest.mark.parametrize("name", ["roles", "last_active_time", "anything"])
def test_an_identity_is_frozen(name: str) -> None:
    """Neither a text nor an instant nor something beside them can be written."""
    with pytest.raises(FrozenInstanceError):
        setattr(IDENTITY, name, None)
