"""Hashing away from the event loop, in bounded time and space.

One argon2id hash takes some 25 ms of a core and 19 MiB. A few threads hash, a bounded number of
calls wait for them in order, and what does not fit is shed before any work is done, so that a
storm of logins can neither fill memory nor starve the checks of sessions that exist already.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Protocol, TypeVar

from session_service.domain.errors import Overloaded
from session_service.users.password_hashes import PasswordHashes

_NICENESS = 19
_T = TypeVar("_T")


class HashingObserver(Protocol):
    """Learns how the queue fares; called on the event loop."""

    def queued(self, depth: int) -> None:
        """Calls that wait or hash by now."""

    def hashed(self, waited: float, took: float) -> None:
        """A call was served: seconds in the queue, seconds in the thread."""

    def shed(self) -> None:
        """A call was turned away."""


class Unobserved:
    """Lets the queue's news pass: for the command line, where nobody collects them."""

    def queued(self, depth: int) -> None:
        """Do nothing."""

    def hashed(self, waited: float, took: float) -> None:
        """Do nothing."""

    def shed(self) -> None:
        """Do nothing."""


_UNOBSERVED = Unobserved()


def default_threads(workers: int = 1) -> int:
    """Threads that leave a core to the event loops of ``workers`` processes, at least one."""
    return max(1, (_cores() - 1) // workers)


def _cores() -> int:
    """The cores this process may use; only Linux tells them from those there are."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


class PooledPasswordHasher:
    """The port ``PasswordHasher`` on a pool of threads of low priority.

    A caller who gives up while waiting leaves the queue, and his password is never hashed.

    Args:
        hashes: what to run in the threads.
        threads: hashes at the same time, at least 1.
        queue: calls that may wait for a thread; 0 = none.
        observer: told of every call.
    """

    def __init__(
        self,
        hashes: PasswordHashes,
        *,
        threads: int,
        queue: int,
        observer: HashingObserver = _UNOBSERVED,
    ) -> None:
        self._hashes = hashes
        self._observer = observer
        self._capacity = threads + queue
        self._depth = 0
        self._free = asyncio.Semaphore(threads)
        self._threads = ThreadPoolExecutor(threads, "hashing", initializer=_yield_to_others)

    async def hash(self, password: str) -> str:
        """The password under the current parameters.

        Raises:
            Overloaded: the queue is full.
        """
        return await self._run(lambda: self._hashes.hash(password))

    async def verify(self, password: str, password_hash: str | None) -> str | None:
        """The hash to keep if the password is right, else ``None``.

        Raises:
            Overloaded: the queue is full.
        """
        return await self._run(lambda: self._hashes.verify(password, password_hash))

    def recognises(self, password_hash: str) -> bool:
        """Whether this hash, from here or elsewhere, can be verified at a bounded cost."""
        return self._hashes.recognises(password_hash)

    def close(self) -> None:
        """End the threads, once what they hash is done; waiting calls must be over."""
        self._threads.shutdown(cancel_futures=True)

    async def _run(self, work: Callable[[], _T]) -> _T:
        if self._depth >= self._capacity:
            self._observer.shed()
            raise Overloaded
        arrived = time.perf_counter()
        self._enter(1)
        try:
            await self._free.acquire()
        except asyncio.CancelledError:
            self._enter(-1)
            raise
        started = time.perf_counter()
        job = asyncio.get_running_loop().run_in_executor(self._threads, work)
        job.add_done_callback(lambda _: self._leave(started - arrived, started))
        # Shielded: a thread cannot be interrupted, and stays taken until it is done.
        return await asyncio.shield(job)

    def _leave(self, waited: float, started: float) -> None:
        self._free.release()
        self._enter(-1)
        self._observer.hashed(waited, time.perf_counter() - started)

    def _enter(self, calls: int) -> None:
        self._depth += calls
        self._observer.queued(self._depth)


def _yield_to_others() -> None:
    """Give the calling thread the lowest priority: on a full machine checks go before logins.

    Only Linux knows priorities of single threads, under their own ids.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
