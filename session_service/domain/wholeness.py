"""Changes that are whole or not begun, whatever becomes of the caller."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_under_way: set[asyncio.Task[Any]] = set()


async def whole(change: Coroutine[Any, Any, T]) -> T:
    """Run a change to its end, even if the caller is cancelled while it runs.

    A client's deadline or hang-up cancels the handler that awaits this; the change and its
    audit entry go on, so that a retry meets a finished change and never half of one.
    """
    task = asyncio.ensure_future(change)
    _under_way.add(task)
    task.add_done_callback(_finished)
    return await asyncio.shield(task)


async def all_whole() -> None:
    """Wait until every change under way has ended; for an orderly stop."""
    while _under_way:
        await asyncio.wait(_under_way)


def _finished(task: asyncio.Task[Any]) -> None:
    _under_way.discard(task)
    if not task.cancelled():
        task.exception()  # seen: the caller that left cannot see it
