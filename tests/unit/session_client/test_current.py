"""Whose request is being answered."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import pytest
from session_client import Identity, NoIdentity, RoleRequired, current_identity, require_role
from session_client._current import context_of, entered, is_identified
from session_client.testing import FakeSessions


def _user(username: str, *roles: str) -> Identity:
    sessions = FakeSessions()
    return sessions.verify(sessions.log_in(username, roles=roles))


ANN, BOB = _user("ann"), _user("bob", "editor")


def test_nobody_is_nobody() -> None:
    """Without a guard there is no identity and never an empty one."""
    assert not is_identified()
    with pytest.raises(NoIdentity, match="guard"):
        current_identity()
    with pytest.raises(NoIdentity):
        require_role("editor")


def test_somebody_is_put_back() -> None:
    """However a block ends, the one before is current again."""
    with entered(ANN):
        with entered(BOB):
            assert current_identity() == BOB
        with suppress(KeyError), entered(BOB):
            raise KeyError
        assert current_identity() == ANN
    assert not is_identified()


def test_a_context_of_its_own_leaves_no_trace() -> None:
    """What runs in it, in whichever thread, sees its identity, and nobody else does."""
    within, seen = context_of(ANN), []
    thread = threading.Thread(target=lambda: seen.append((within.run(current_identity), is_identified())))
    thread.start()
    thread.join()

    assert seen == [(ANN, False)]
    assert not is_identified()


async def test_tasks_and_threads_of_asyncio_inherit() -> None:
    """A handler may spread its work over both."""
    with entered(ANN):
        assert await asyncio.create_task(_current()) == ANN
        assert await asyncio.to_thread(current_identity) == ANN


async def _current() -> Identity:
    return current_identity()


def test_a_role_is_one_of_several() -> None:
    """Who has one of them is told who it is; others are not let through, nor is a call that names none."""
    with entered(BOB):
        assert require_role("admin", "editor") == BOB
        with pytest.raises(RoleRequired) as raised:
            require_role("admin", "edit")
        with pytest.raises(ValueError, match="at least one"):
            require_role()

    assert (raised.value.reason, raised.value.metadata) == ("ROLE_REQUIRED", {"role": "admin,edit"})
