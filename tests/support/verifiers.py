"""Both verifiers of the SDK under the same tests: the one for threads does its checks in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from session_client import (
    AsyncSessionClient,
    AsyncTokenVerifier,
    Identity,
    SessionClient,
    Timeouts,
    TokenVerifier,
)
from session_client._watching import Watching

from tests.support.clients import PATIENT
from tests.support.waiting import eventually_async


@dataclass(frozen=True, slots=True)
class OpenedVerifier:
    """A verifier, to be awaited whichever it is; ``watching`` is what it knows."""

    verify: Callable[..., Awaitable[Identity]]
    close: Callable[[], Awaitable[None]]
    close_client: Callable[[], Awaitable[None]]
    watching: Watching[Any]

    async def works(self) -> None:
        """Wait until its stream has proven itself."""
        await eventually_async(lambda: self.watching.is_open and self.watching.was_confirmed)


OpenVerifier: TypeAlias = Callable[..., AbstractAsyncContextManager[OpenedVerifier]]


@asynccontextmanager
async def open_async_verifier(
    target: str, *, timeouts: Timeouts = PATIENT, **limits: Any
) -> AsyncIterator[OpenedVerifier]:
    """Open an ``AsyncTokenVerifier`` with a client of its own."""
    async with (
        AsyncSessionClient(target, timeouts=timeouts) as client,
        AsyncTokenVerifier(client, **limits) as verifier,
    ):
        yield OpenedVerifier(verifier.verify, verifier.close, client.close, verifier._watching)


@asynccontextmanager
async def open_threads_verifier(
    target: str, *, timeouts: Timeouts = PATIENT, **limits: Any
) -> AsyncIterator[OpenedVerifier]:
    """Open a ``TokenVerifier`` with a client of its own."""
    with SessionClient(target, timeouts=timeouts) as client, TokenVerifier(client, **limits) as verifier:
        yield OpenedVerifier(
            lambda *args, **options: asyncio.to_thread(verifier.verify, *args, **options),
            partial(asyncio.to_thread, verifier.close),
            partial(asyncio.to_thread, client.close),
            verifier._watching,
        )
