"""Waiting on a condition, so that no test sleeps for a guessed time."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

_INTERVAL = 0.005


def eventually(condition: Callable[[], T], *, timeout: float = 5.0) -> T:
    """Poll until the condition is truthy and return what it gave; for code without an event loop.

    Args:
        condition: Called again and again; an exception it raises passes through.
        timeout: Seconds before giving up.

    Raises:
        AssertionError: The condition stayed falsy for the whole time.
    """
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        _check(deadline, condition, value)
        time.sleep(_INTERVAL)
    return value


@overload
async def eventually_async(condition: Callable[[], Awaitable[T]], *, timeout: float = 5.0) -> T: ...


@overload
async def eventually_async(condition: Callable[[], T], *, timeout: float = 5.0) -> T: ...


async def eventually_async(condition: Callable[[], T | Awaitable[T]], *, timeout: float = 5.0) -> T:
    """Poll like `eventually` while the event loop goes on; the condition may be a coroutine function.

    Args:
        condition: Called again and again, and awaited if it answers with an awaitable.
        timeout: Seconds before giving up; a single call that hangs is cancelled then too.

    Raises:
        AssertionError: The condition stayed falsy for the whole time.
    """
    deadline = time.monotonic() + timeout
    while not (value := await _ask(condition, deadline)):
        _check(deadline, condition, value)
        await asyncio.sleep(_INTERVAL)
    return value


async def until(moment: float) -> None:
    """Let the event loop go on until a moment of `time.monotonic`: for what happens by a plan.

    Never to give something else the time to happen: that is what conditions are for.
    """
    await asyncio.sleep(max(0.0, moment - time.monotonic()))


async def _ask(condition: Callable[[], T | Awaitable[T]], deadline: float) -> T:
    answer = condition()
    if not inspect.isawaitable(answer):
        return answer
    try:
        return await asyncio.wait_for(answer, deadline - time.monotonic())
    except TimeoutError as error:
        message = f"a call of {condition!r} did not answer in time"
        raise AssertionError(message) from error


def _check(deadline: float, condition: object, value: object) -> None:
    if time.monotonic() > deadline:
        message = f"{condition!r} still gave {value!r} at the time-out"
        raise AssertionError(message)
