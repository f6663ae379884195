"""Tells an observer of every round trip, around what makes it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

from redis.asyncio import Redis

from session_service.domain.errors import StoreUnavailable
from session_service.storage.cluster import ClusterClient
from session_service.storage.link import Command, Link
from session_service.storage.reads import OnOutcomes, Outcome, PrimaryCommands, Question, Reads
from session_service.storage.scripts import Mutations, Part, Script


class StoreObserver(Protocol):
    """Told of every round trip to Redis."""

    def read(self, seconds: float) -> None:
        """Note a read that was answered."""

    def read_failed(self) -> None:
        """Note a read without an answer."""

    def script(self, seconds: float) -> None:
        """Note a change that was answered."""

    def script_failed(self) -> None:
        """Note a change without an answer; it may have been made."""


class WatchedReads:
    """``Reads`` that are noted.

    Args:
        reads: what reads.
        observer: told of each.
    """

    __slots__ = ("_observer", "_reads")

    def __init__(self, reads: Reads, observer: StoreObserver) -> None:
        self._reads = reads
        self._observer = observer

    async def read(self, key: str, /, *commands: Command) -> list[Any]:
        """Run the commands; see ``Reads.read``."""
        started = time.perf_counter()
        try:
            replies = await self._reads.read(key, *commands)
        except StoreUnavailable:
            self._observer.read_failed()
            raise
        self._observer.read(time.perf_counter() - started)
        return replies

    def ask(self, questions: Sequence[Question], on_outcomes: OnOutcomes) -> None:
        """Ask questions, noted as a read of each primary; see ``Reads.ask``."""
        started = time.perf_counter()

        def note(places: Sequence[int], outcomes: Sequence[Outcome]) -> None:
            self._note(started, outcomes)
            on_outcomes(places, outcomes)

        self._reads.ask(questions, note)

    def _note(self, started: float, outcomes: Sequence[Outcome]) -> None:
        if StoreUnavailable in map(type, outcomes):
            self._observer.read_failed()
        else:
            self._observer.read(time.perf_counter() - started)

    async def track(self, key: str, /, *commands: Command) -> tuple[list[Any], Link | None]:
        """Run the commands; see ``Reads.track``."""
        started = time.perf_counter()
        try:
            tracked = await self._reads.track(key, *commands)
        except StoreUnavailable:
            self._observer.read_failed()
            raise
        self._observer.read(time.perf_counter() - started)
        return tracked


class WatchedMutations(Mutations):
    """``Mutations`` that are noted.

    Args:
        client: as ``Mutations``.
        changes: as ``Mutations``.
        wait_replicas: as ``Mutations``.
        wait_timeout: as ``Mutations``.
        observer: told of each.
    """

    def __init__(
        self,
        client: Redis | ClusterClient,
        changes: PrimaryCommands | None,
        *,
        wait_replicas: int,
        wait_timeout: float,
        observer: StoreObserver,
    ) -> None:
        super().__init__(client, changes, wait_replicas=wait_replicas, wait_timeout=wait_timeout)
        self._observer = observer

    async def run(self, script: Script, keys: Sequence[str], *args: Part, acknowledged: bool = True) -> Any:  # noqa: ANN401 - as Mutations
        """Run a script once; see ``Mutations.run``."""
        return await self._noted(super().run(script, keys, *args, acknowledged=acknowledged))

    async def command(self, name: str, key: str, *args: Part, acknowledged: bool = True) -> Any:  # noqa: ANN401
        """Run one plain command once; see ``Mutations.command``."""
        return await self._noted(super().command(name, key, *args, acknowledged=acknowledged))

    async def _noted(self, change: Awaitable[Any]) -> Any:  # noqa: ANN401
        started = time.perf_counter()
        try:
            reply = await change
        except StoreUnavailable:
            self._observer.script_failed()
            raise
        self._observer.script(time.perf_counter() - started)
        return reply
