"""Both clients of the SDK under the same tests: the synchronous one does its calls in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, TypeAlias, cast

from session_client import Admin, AsyncSessionClient, SessionClient, Timeouts

OpenClient: TypeAlias = Callable[..., AbstractAsyncContextManager[AsyncSessionClient]]

# Test machines are busy; a test about the client's own defaults passes ``timeouts=None``.
PATIENT = Timeouts(read=30, write=30)


def open_async_client(
    target: str, *, timeouts: Timeouts | None = PATIENT, **options: Any
) -> AsyncSessionClient:
    """Open an ``AsyncSessionClient`` that waits longer than its defaults."""
    return AsyncSessionClient(target, timeouts=timeouts, **options)


@asynccontextmanager
async def open_sync_client(
    target: str, *, timeouts: Timeouts | None = PATIENT, **options: Any
) -> AsyncIterator[AsyncSessionClient]:
    """Open a ``SessionClient`` that can be awaited like an ``AsyncSessionClient``."""
    with SessionClient(target, timeouts=timeouts, **options) as client:
        yield cast("AsyncSessionClient", _InThread(client))


class _InThread:
    def __init__(self, synchronous: SessionClient | Admin) -> None:
        self._synchronous = synchronous

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._synchronous, name)
        if isinstance(attribute, Admin):
            return _InThread(attribute)
        if name == "admin_as":
            return lambda access_token: _InThread(attribute(access_token))
        if name.startswith("iter_"):
            return partial(_iterate, attribute)
        return partial(asyncio.to_thread, attribute)


async def _iterate(method: Callable[..., Iterator[Any]], *args: str) -> AsyncIterator[Any]:
    for item in await asyncio.to_thread(lambda: list(method(*args))):
        yield item
