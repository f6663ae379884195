"""Waiting: conditions instead of sleeps."""

from __future__ import annotations

import asyncio
import time
from itertools import count

import pytest

from tests.support import eventually, eventually_async
from tests.support.waiting import until


def test_returns_the_first_truthy_answer() -> None:
    """Polling ends with the first truthy answer and hands it back."""
    answers = iter([0, 0, 7, 8])
    assert eventually(lambda: next(answers)) == 7


def test_gives_up_with_the_last_answer() -> None:
    """A condition that never holds fails the test and names what it gave last."""
    with pytest.raises(AssertionError, match="still gave 0"):
        eventually(lambda: 0, timeout=0.02)


def test_errors_of_the_condition_pass_through() -> None:
    """An exception in the condition is not taken for "not yet"."""
    with pytest.raises(ZeroDivisionError):
        eventually(lambda: 1 // 0)


async def test_polls_coroutine_functions() -> None:
    """The asynchronous form awaits its condition."""
    numbers = count()

    async def third() -> bool:
        return next(numbers) == 3

    assert await eventually_async(third)


async def test_lets_the_loop_go_on() -> None:
    """What the condition waits for may be done by another task of the same loop."""
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, done.set)
    assert await eventually_async(done.is_set)


async def test_gives_up_on_a_call_that_hangs() -> None:
    """A condition that never answers is cancelled at the time-out."""

    async def hang() -> bool:
        return await asyncio.Event().wait()

    with pytest.raises(AssertionError, match="did not answer"):
        await eventually_async(hang, timeout=0.02)


async def test_a_moment_of_a_plan_is_waited_for() -> None:
    """It has come when the wait is over; one that is past is not waited for."""
    moment = time.monotonic() + 0.01
    await until(moment)
    assert time.monotonic() >= moment
    await until(moment - 1000)
