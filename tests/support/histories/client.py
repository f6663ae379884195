"""A client that checks the tokens it is told of, in several ways at once, and records every check."""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, Final, Protocol, Self

from tests.support.histories.calls import Call, Effect, is_within
from tests.support.histories.ways import AT_ONCE, Answer, Way

# From so many seconds after a bound has passed on, a stale answer is wrong; one look may come too early.
_JUST_AFTER: Final = (0.002, 0.06)
_MOST_URGENT: Final = 4
_MOST_OF_ONE: Final = 2


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
        self._tasks = [asyncio.create_task(self._work(queue)) for queue in self._queues]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        for task in self._tasks:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()
        await self.collect()

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
            queue.urgent.clear()
            await asyncio.gather(*queue.under_way)
        calls, self._calls = self._calls, []
        return calls

    async def _work(self, queue: _Queue) -> None:
        while True:
            for name in self._next(queue):
                if name in self._tokens and queue.has_room(name):
                    queue.begin(name, self._check(queue.way, name, self._tokens[name]))
            await queue.breathe()

    def _next(self, queue: _Queue) -> list[str]:
        lively = self._draw.choices(self._lively, k=queue.way.burst) if self._lively else []
        return [*queue.due(), *lively]

    async def _check(self, way: Way, name: str, token: str) -> None:
        answer = await way.check(token)
        self._calls.append(_call(self._name, way, name, answer))


class _Queue:
    """What one way checks next, and what it is checking."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self.urgent: list[tuple[float, str]] = []
        self.under_way: dict[asyncio.Task[None], str] = {}
        self._news = asyncio.Event()

    def put(self, moment: float, name: str) -> None:
        heapq.heappush(self.urgent, (moment, name))
        self._news.set()

    def due(self) -> Iterator[str]:
        """A few of those whose time has come."""
        for _ in range(_MOST_URGENT):
            if self.urgent and self.urgent[0][0] <= time.monotonic():
                yield heapq.heappop(self.urgent)[1]

    def has_room(self, name: str) -> bool:
        """Whether a check more may be begun: what waits must not keep others from being checked."""
        same = sum(each == name for each in self.under_way.values())
        return same < _MOST_OF_ONE and len(self.under_way) < AT_ONCE

    def begin(self, name: str, check: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(check)
        self.under_way[task] = name
        task.add_done_callback(self.under_way.pop)

    async def breathe(self) -> None:
        """Wait until something is due."""
        urgent = self.urgent[0][0] - time.monotonic() if self.urgent else self.way.pause
        self._news.clear()
        news = asyncio.ensure_future(self._news.wait())
        await asyncio.wait([news], timeout=min(max(0.0, urgent), self.way.pause))
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
