"""Results are values that are safe to print."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta

import pytest
import session_client
from session_client import Login, Tokens, User

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
