"""Whether calls still come."""

from __future__ import annotations

import asyncio

from session_service.rpc.traffic import Traffic


class Observer:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, float]] = []

    def call_ended(self, method: str, reason: str, seconds: float) -> None:
        """Keep it."""
        self.told.append((method, reason, seconds))

    def calls_ended(self, method: str, reason: str, seconds: float, count: int) -> None:
        """Keep each."""
        self.told += [(method, reason, seconds)] * count


async def test_calls_are_passed_on() -> None:
    """The observer behind learns of every call."""
    observer = Observer()
    Traffic(observer).call_ended("/a/B", "OK", 0.5)
    assert observer.told == [("/a/B", "OK", 0.5)]
    Traffic(observer).calls_ended("/a/B", "OK", 0.1, 2)
    assert observer.told[1:] == [("/a/B", "OK", 0.1)] * 2


async def test_no_calls_are_quiet_at_once() -> None:
    """Where nothing comes the wait is a moment, however long one was ready to wait."""
    async with asyncio.timeout(5):
        await Traffic(Observer()).quiet(patience=600)


async def test_the_last_call_is_waited_for() -> None:
    """While calls come it is not quiet, and soon after the last it is."""
    traffic = Traffic(Observer())
    loop = asyncio.get_running_loop()
    for tenth in range(1, 6):
        loop.call_later(tenth * 0.06, traffic.call_ended, "/a/B", "OK", 0.0)
    started = loop.time()
    async with asyncio.timeout(5):
        await traffic.quiet(patience=600)
    assert loop.time() - started > 0.3


async def test_patience_ends() -> None:
    """Calls that never stop coming do not hold the wait up for ever."""
    traffic = Traffic(Observer())

    async def come() -> None:
        while True:
            traffic.call_ended("/a/B", "OK", 0.0)
            await asyncio.sleep(0)

    coming = asyncio.create_task(come())
    async with asyncio.timeout(5):
        await traffic.quiet(patience=0.3)
    coming.cancel()
