"""The audit trail: a capped stream, appended to after the change and never in its way (ASVS 16.2).

``record`` only puts an event into a bounded buffer; a background task appends batches. While Redis is
away events wait, and the batch in hand is tried again under the same number, so that it is written
once. A full buffer drops its oldest events; an event ``gap`` then says how many. Each event's instant
is the id that Redis gives it.

The same script moves the counters of sessions created and ended that ``GetStats`` reads.
"""

from __future__ import annotations

import asyncio
import logging
import unicodedata
from collections import deque
from dataclasses import dataclass
from typing import Final, Protocol

from session_service.domain.errors import StoreUnavailable
from session_service.domain.events import Action, AuditEvent
from session_service.domain.policy import new_id
from session_service.storage import keys
from session_service.storage.scripts import Mutations, load

_LOGGER = logging.getLogger(__name__)

GAP: Final = "gap"
"""The action of the event that stands for lost ones; its ``count`` says how many."""

_APPEND: Final = load("append")
_CAPACITY: Final = 10_000
_BATCH: Final = 100
_LONGEST_WORD: Final = 256
_WRITER_MEMORY_MS: Final = 86_400_000
_LINGER: Final = 0.02
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_CREATING: Final = frozenset({Action.LOGIN, Action.SESSION_CREATED})
_ENDING: Final = frozenset({Action.LOGOUT, Action.REVOKE, Action.EVICT, Action.REFRESH_REUSED})


@dataclass(frozen=True, slots=True)
class _Batch:
    """What goes into the stream in one step."""

    number: int
    events: tuple[tuple[str, ...], ...]
    created: int
    ended: int

    def words(self) -> list[str | int]:
        """The batch as the script takes it."""
        words: list[str | int] = []
        for event in self.events:
            words += (len(event), *event)
        return words


class AuditObserver(Protocol):
    """Told what becomes of events."""

    def written(self, count: int) -> None:
        """Note events that are in the stream."""

    def lost(self, count: int) -> None:
        """Note events that were dropped."""


class RedisAuditLog:
    """Writes audit events to ``session_events``; see ``domain.ports.AuditLog``.

    Args:
        mutations: runs the script.
        stream_length: events to keep, about.
        capacity: events to hold while Redis is away.
        observer: told what becomes of events, if given.
    """

    def __init__(
        self,
        mutations: Mutations,
        *,
        stream_length: int = 100_000,
        capacity: int = _CAPACITY,
        observer: AuditObserver | None = None,
    ) -> None:
        self._mutations = mutations
        self._observer = observer
        self._stream_length = stream_length
        self._waiting: deque[tuple[str, ...]] = deque(maxlen=capacity)
        self._lost = self._created = self._ended = self._number = 0
        self._writer_id = new_id()
        self._batch: _Batch | None = None
        self._something = asyncio.Event()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def record(self, event: AuditEvent) -> None:
        """Take an event; it is written soon, and once the store is back if it is away."""
        if len(self._waiting) == self._waiting.maxlen:
            self._lose(1)
        self._waiting.append(_words(event))
        if event.confirmed:
            self._created += event.action in _CREATING
            self._ended += event.count or event.action in _ENDING
        self._something.set()

    async def open(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._write())

    async def close(self) -> None:
        """Write what is left, if the store takes it at the first try, and stop."""
        self._closing.set()
        self._something.set()
        if self._task:
            await self._task

    async def _write(self) -> None:
        pause = _FIRST_PAUSE
        while await self._due():
            try:
                await self._write_batch()
                pause = _FIRST_PAUSE
            except StoreUnavailable:
                if self._closing.is_set():
                    _LOGGER.warning("audit events are lost: the store is away while closing")
                    return
                await self._pause(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            except Exception:
                # Whatever it is, it would stop this batch for ever and all that comes after.
                _LOGGER.exception("a batch of audit events cannot be written")
                self._give_up()

    async def _due(self) -> bool:
        """Wait for something to write; ``False`` when closing with nothing left."""
        while not self._batch and not self._waiting:
            self._something.clear()
            if self._closing.is_set():
                return False
            await self._something.wait()
            await self._pause(_LINGER)
        return True

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return

    async def _write_batch(self) -> None:
        batch = self._batch = self._batch or self._next_batch()
        await self._mutations.run(
            _APPEND,
            [keys.AUDIT_STREAM, keys.AUDIT_COUNTERS, keys.audit_writer(self._writer_id)],
            batch.number,
            _WRITER_MEMORY_MS,
            self._stream_length,
            batch.created,
            batch.ended,
            *batch.words(),
            acknowledged=False,
        )
        self._batch = None
        if self._observer:
            self._observer.written(len(batch.events))

    def _give_up(self) -> None:
        if self._batch:
            self._lose(len(self._batch.events))
        self._batch = None

    def _lose(self, count: int) -> None:
        self._lost += count
        if self._observer:
            self._observer.lost(count)

    def _next_batch(self) -> _Batch:
        events = [self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH))]
        if self._lost:
            events.insert(0, ("action", GAP, "count", str(self._lost)))
        self._number += 1
        batch = _Batch(self._number, tuple(events), self._created, self._ended)
        self._lost = self._created = self._ended = 0
        return batch


def _words(event: AuditEvent) -> tuple[str, ...]:
    """An event as field names and values, empty ones left out."""
    named = {
        "action": event.action.value,
        "user_id": event.user_id,
        "session_id": event.session_id,
        "actor": event.actor.name,
        "ip_address": event.actor.ip_address,
        "count": str(event.count or ""),
        "detail": event.detail,
    }
    return tuple(word for name, value in named.items() if value for word in (name, _clean(value)))


def _clean(value: str) -> str:
    """A value that cannot forge a line of whoever prints the trail (ASVS 16.4.1)."""
    short = value[:_LONGEST_WORD]
    if short.isascii() and short.isprintable():
        return short
    return "".join(
        each for each in short if unicodedata.category(each)[0] != "C" and each not in "\u2028\u2029"
    )
