"""A client that checks the tokens it is told of, in several ways at once, and records every check."""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections.abc import Sequence
from typing import Protocol, Self

from tests.support.histories.calls import Call, Effect, is_within
from tests.support.histories.ways import Answer, Way

# From so many seconds after a bound has passed on, a stale answer is wrong; one look may come too early.
_JUST_AFTER = (0.002, 0.06)


class Client(Protocol):
    """What lives tell of their tokens."""

    def watch(self, name: str, token: str) -> None:
        """Check a token, now and over and over."""

    def hurry(self, name: str, moment: float | None = None) -> None:
        """Check the tokens below a name as soon as none may accept them that ended at a moment, or now."""

    def forget(self, name: str) -> None:
        """Check the tokens below a name no more, but for what is to be checked in a hurry."""

    async def collect(self) -> list[Call]:
        """All checks since the last collection; the tokens are forgotten."""


class CheckingClient:
    """Checks in this event loop.

    Args:
        name: who it is, in the records.
        ways: how it checks.
        seed: of the order in which it picks tokens.
    """

    def __init__(self, name: str, ways: Sequence[Way], seed: int = 0) -> None:
        self._name = name
        self._draw = random.Random(seed)  # noqa: S311 - a plan that can be repeated
        self._tokens: dict[str, str] = {}
        self._lively: list[str] = []
        self._calls: list[Call] = []
        self._queues = [_Queue(way) for way in ways]
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Begin to check."""
        self._tasks = [
            asyncio.create_task(self._work(queue)) for queue in self._queues for _ in range(queue.way.hands)
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()

    def watch(self, name: str, token: str) -> None:
        """Check a token, now and over and over."""
        self._tokens[name] = token
        self._lively.append(name)
        for queue in self._queues:
            queue.put(time.monotonic(), name)

    def hurry(self, name: str, moment: float | None = None) -> None:
        """Check the tokens below a name as soon as none may accept them that ended at a moment, or now."""
        over = time.monotonic() if moment is None else moment
        for each in [each for each in self._tokens if is_within(each, name)]:
            for queue in self._queues:
                for later in _JUST_AFTER:
                    queue.put(over + queue.way.bound + later, each)

    def forget(self, name: str) -> None:
        """Check the tokens below a name no more, but for what is to be checked in a hurry."""
        self._lively = [each for each in self._lively if not is_within(each, name)]

    async def collect(self) -> list[Call]:
        """All checks since the last collection; the tokens are forgotten."""
        self._tokens, self._lively = {}, []
        for queue in self._queues:
            await queue.idle()
        calls, self._calls = self._calls, []
        return calls

    async def _work(self, queue: _Queue) -> None:
        while True:
            for name in self._next(queue):
                # Forgotten meanwhile?
                if name in self._tokens:
                    with queue:
                        answer = await queue.way.check(self._tokens[name])
                    self._calls.append(_call(self._name, queue.way, name, answer))
            await queue.breathe()

    def _next(self, queue: _Queue) -> list[str]:
        urgent = queue.due()
        if urgent is not None:
            return [urgent]
        return self._draw.choices(self._lively, k=queue.way.burst) if self._lively else []


class _Queue:
    """What one way is to check next; ``with`` it while it checks."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self._urgent: list[tuple[float, str]] = []
        self._news = asyncio.Event()
        self._busy = 0
        self._done = asyncio.Event()

    def __enter__(self) -> None:
        self._busy += 1

    def __exit__(self, *_: object) -> None:
        self._busy -= 1
        self._done.set()

    def put(self, moment: float, name: str) -> None:
        heapq.heappush(self._urgent, (moment, name))
        self._news.set()

    def due(self) -> str | None:
        if self._urgent and self._urgent[0][0] <= time.monotonic():
            return heapq.heappop(self._urgent)[1]
        return None

    async def idle(self) -> None:
        """Wait until nothing is under way; what was urgent is so no longer."""
        self._urgent.clear()
        while self._busy:
            self._done.clear()
            await self._done.wait()

    async def breathe(self) -> None:
        """Wait for the next check's turn."""
        pause = self.way.pause
        if self._urgent:
            pause = min(pause, self._urgent[0][0] - time.monotonic())
        self._news.clear()
        news = asyncio.ensure_future(self._news.wait())
        await asyncio.wait([news], timeout=max(0.0, pause))
        news.cancel()


def _call(client: str, way: Way, name: str, answer: Answer) -> Call:
    return Call(
        what="check",
        by=f"{client} {way.name}",
        effect=Effect.CHECK,
        name=name,
        began=answer.began,
        ended=answer.ended,
        outcome=answer.outcome,
        bound=way.bound,
        version=answer.version,
        hit=answer.hit,
        detail=answer.detail,
    )
