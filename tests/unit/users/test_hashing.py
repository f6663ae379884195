"""The pool: bounded, shed at once, fair to the event loop, true to callers who give up."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from session_service.domain.errors import Overloaded
from session_service.users import hashing
from session_service.users.hashing import PooledPasswordHasher, default_threads
from session_service.users.password_hashes import Argon2Profile, PasswordHashes
from tests.support.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import Iterator

    from session_service.domain.ports import PasswordHasher


class _HeldHashes(PasswordHashes):
    """Hashes whose work waits in its thread until let go, and notes what it was."""

    def __init__(self) -> None:
        super().__init__(Argon2Profile(memory_kib=8, passes=1))
        self.go = threading.Event()
        self.begun: list[str] = []
        self.threads: set[threading.Thread] = set()
        self.at_once = 0
        self.most_at_once = 0

    def hash(self, password: str) -> str:
        self.begun.append(password)
        self.threads.add(threading.current_thread())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        assert self.go.wait(5)
        self.at_once -= 1
        return super().hash(password)


class _Journal:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.depths: list[int] = []
        self.served: list[tuple[float, float]] = []
        self.turned_away = 0

    def queued(self, depth: int) -> None:
        self.depths.append(depth)

    def hashed(self, waited: float, took: float) -> None:
        self.served.append((waited, took))

    def shed(self) -> None:
        self.turned_away += 1


@contextmanager
def held(threads: int = 1, queue: int = 1) -> Iterator[tuple[PooledPasswordHasher, _HeldHashes, _Journal]]:
    """A pool whose hashes wait to be let go."""
    hashes, journal = _HeldHashes(), _Journal()
    pool = PooledPasswordHasher(hashes, threads=threads, queue=queue, observer=journal)
    try:
        yield pool, hashes, journal
    finally:
        hashes.go.set()
        pool.close()


async def test_it_is_the_port() -> None:
    """What goes in through the pool comes out as the port promises."""
    pool = PooledPasswordHasher(PasswordHashes(Argon2Profile(8, 1)), threads=1, queue=0)
    port: PasswordHasher = pool
    stored = await port.hash("secret")
    assert await port.verify("secret", stored) == stored
    assert await port.verify("other", stored) is None
    assert await port.verify("secret", None) is None
    assert port.recognises(stored)
    assert not port.recognises("x")
    pool.close()


async def test_what_does_not_fit_is_shed_before_any_work() -> None:
    """With a thread busy and the queue full the next call fails at once, and is never hashed."""
    with held(threads=1, queue=2) as (pool, hashes, journal):
        calls = [asyncio.ensure_future(pool.hash(f"p{n}")) for n in range(3)]
        await eventually_async(lambda: hashes.begun)
        with pytest.raises(Overloaded):
            await pool.hash("one too many")
        with pytest.raises(Overloaded):
            await pool.verify("one too many", None)
        hashes.go.set()
        await asyncio.gather(*calls)
        assert sorted(hashes.begun) == ["p0", "p1", "p2"]
        assert journal.turned_away == 2


async def test_room_made_is_room_used() -> None:
    """Once a call is served the next one is taken again."""
    with held(threads=1, queue=0) as (pool, hashes, _):
        first = asyncio.ensure_future(pool.hash("first"))
        await eventually_async(lambda: hashes.begun)
        with pytest.raises(Overloaded):
            await pool.hash("too soon")
        hashes.go.set()
        await first
        await pool.hash("second")
        assert hashes.begun == ["first", "second"]


async def test_a_caller_who_gives_up_waiting_is_never_hashed() -> None:
    """A cancelled waiter leaves the queue at once, and his place is another's."""
    with held(threads=1, queue=1) as (pool, hashes, _):
        first = asyncio.ensure_future(pool.hash("first"))
        await eventually_async(lambda: hashes.begun)
        gone = asyncio.ensure_future(pool.hash("gone"))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([gone])
        next_one = asyncio.ensure_future(pool.hash("next"))
        await asyncio.sleep(0)
        hashes.go.set()
        await asyncio.gather(first, next_one)
        assert hashes.begun == ["first", "next"]


async def test_a_thread_stays_taken_until_its_hash_is_done() -> None:
    """A caller who gives up while being hashed does not make room that is not there."""
    with held(threads=1, queue=0) as (pool, hashes, journal):
        gone = asyncio.ensure_future(pool.hash("gone"))
        await eventually_async(lambda: hashes.begun)
        gone.cancel()
        await asyncio.wait([gone])
        with pytest.raises(Overloaded):
            await pool.hash("too soon")
        hashes.go.set()
        await eventually_async(lambda: journal.depths[-1] == 0)
        await pool.hash("now")
        assert hashes.begun == ["gone", "now"]


async def test_no_more_hashes_at_once_than_threads() -> None:
    """However many call, only so many hash at the same time, and the loop goes on meanwhile."""
    with held(threads=2, queue=20) as (pool, hashes, _):
        calls = [asyncio.ensure_future(pool.hash(str(n))) for n in range(20)]
        await eventually_async(lambda: len(hashes.begun) == 2)
        hashes.go.set()
        await asyncio.gather(*calls)
        assert hashes.most_at_once == 2
        assert len(hashes.begun) == 20
        assert threading.current_thread() not in hashes.threads


async def test_calls_are_served_in_order() -> None:
    """Who came first is hashed first."""
    with held(threads=1, queue=10) as (pool, hashes, _):
        calls = [asyncio.ensure_future(pool.hash(str(n))) for n in range(10)]
        hashes.go.set()
        await asyncio.gather(*calls)
        assert hashes.begun == [str(n) for n in range(10)]


async def test_an_error_in_the_thread_is_the_callers_and_frees_the_thread() -> None:
    """A password that cannot be encoded fails its own call only."""
    with held(threads=1, queue=0) as (pool, hashes, _):
        hashes.go.set()
        with pytest.raises(UnicodeEncodeError):
            await pool.hash("\ud800")
        assert await pool.hash("fine")


async def test_the_observer_learns_of_every_call() -> None:
    """Depth goes up and down to nothing, and each served call has its two times."""
    with held(threads=1, queue=1) as (pool, hashes, journal):
        calls = [asyncio.ensure_future(pool.hash(str(n))) for n in range(2)]
        await eventually_async(lambda: hashes.begun)
        hashes.go.set()
        await asyncio.gather(*calls)
        assert journal.depths == [1, 2, 1, 0]
        (first_wait, first_took), (second_wait, second_took) = journal.served
        assert 0 <= first_wait <= second_wait
        assert min(first_took, second_took) > 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of single threads")
async def test_hashing_threads_yield_to_the_event_loop() -> None:
    """The pool's threads have the lowest priority and the loop's thread keeps its own."""
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    with held() as (pool, hashes, _):
        hashes.go.set()
        await pool.hash("x")
        (thread,) = hashes.threads
        assert thread.native_id is not None
        assert os.getpriority(os.PRIO_PROCESS, thread.native_id) == 19
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


async def test_close_ends_the_threads() -> None:
    """A closed pool leaves no thread behind and takes no more calls."""
    with held() as (pool, hashes, _):
        hashes.go.set()
        await pool.hash("x")
        pool.close()
        assert not any(thread.is_alive() for thread in hashes.threads)
        with pytest.raises(RuntimeError):
            await pool.hash("late")


@pytest.mark.parametrize(
    ("cores", "workers", "threads"), [(1, 1, 1), (2, 1, 1), (8, 1, 7), (8, 2, 3), (8, 8, 1)]
)
def test_a_core_is_left_to_the_event_loops(
    monkeypatch: pytest.MonkeyPatch, cores: int, workers: int, threads: int
) -> None:
    """The default shares all cores but one among the workers, one thread at the least."""
    monkeypatch.setattr(hashing, "_cores", lambda: cores)
    assert default_threads(workers) == threads
