"""A checking client in a process of its own: to be stopped, or to have its event loop blocked."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection
from typing import Any, Self, TypeAlias

from tests.support.histories.calls import Call
from tests.support.histories.client import CheckingClient
from tests.support.histories.ways import all_ways
from tests.support.tether import Tether

Order: TypeAlias = tuple[Any, ...]

_COLLECT_SECONDS = 30.0


class ClientProcess:
    """Speaks to a ``CheckingClient`` in another process, over a pipe.

    Args:
        name: as ``CheckingClient``.
        address: where the service is.
        seed: as ``CheckingClient``.
    """

    def __init__(self, name: str, address: str, seed: int = 0) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(theirs, name, address, seed), daemon=True)
        self._process.start()
        theirs.close()
        self._tether: Tether | None = None
        self._orders: list[Order] = []
        self._news = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Wait until it checks."""
        await asyncio.to_thread(self._pipe.recv)
        self._tether = Tether(self.pid)
        self._sending = asyncio.create_task(self._send())
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it."""
        self.resume()
        self._order("end")
        if self._sending is not None:
            await self._sending
        self._pipe.close()
        await asyncio.to_thread(self._process.join)
        if self._tether is not None:
            self._tether.release()

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process.pid is not None
        return self._process.pid

    def watch(self, name: str, token: str) -> None:
        """Check a token, now and over and over."""
        self._order("watch", name, token)

    def hurry(self, name: str, moment: float | None = None) -> None:
        """Check the tokens below a name as soon as none may accept them that ended at a moment, or now."""
        self._order("hurry", name, moment)

    def forget(self, name: str) -> None:
        """Check the tokens below a name no more, but for what is to be checked in a hurry."""
        self._order("forget", name)

    def block(self, seconds: float) -> None:
        """Hold up its event loop, as code that does not await would."""
        self._order("block", seconds)

    def pause(self) -> None:
        """Stop the process (SIGSTOP)."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    async def collect(self) -> list[Call]:
        """All checks since the last collection; the tokens are forgotten."""
        self._order("collect")
        found = await asyncio.to_thread(self._pipe.poll, _COLLECT_SECONDS)
        assert found, "a checking client has not answered"
        calls: list[Call] = await asyncio.to_thread(self._pipe.recv)
        return calls

    def _order(self, *order: Any) -> None:
        self._orders.append(order)
        self._news.set()

    async def _send(self) -> None:
        """Send orders, from a thread: a process that is stopped does not read, and the pipe fills."""
        orders: list[Order] = []
        while ("end",) not in orders:
            await self._news.wait()
            self._news.clear()
            orders, self._orders = self._orders, []
            await asyncio.to_thread(self._pipe.send, orders)


def _run(pipe: Connection, name: str, address: str, seed: int) -> None:
    # A group of its own, for the tether; and the terminal's Ctrl-C is not for it.
    os.setsid()
    # What the SDK tells of lost streams is no news here.
    logging.getLogger("session_client").setLevel(logging.ERROR)
    asyncio.run(_serve(pipe, name, address, seed))


async def _serve(pipe: Connection, name: str, address: str, seed: int) -> None:
    loop, orders = asyncio.get_running_loop(), asyncio.Queue[Order]()

    def take() -> None:
        try:
            came = pipe.recv()
        except (EOFError, OSError):
            came = [("end",)]
        for order in came:
            orders.put_nowait(order)
        if ("end",) in came:
            loop.remove_reader(pipe.fileno())

    async with all_ways(address) as ways, CheckingClient(name, ways, seed) as client:
        loop.add_reader(pipe.fileno(), take)
        pipe.send("ready")
        while (order := await orders.get())[0] != "end":
            await _obey(client, pipe, *order)


async def _obey(client: CheckingClient, pipe: Connection, order: str, *details: Any) -> None:
    match order:
        case "watch":
            client.watch(*details)
        case "hurry":
            client.hurry(*details)
        case "forget":
            client.forget(*details)
        case "block":
            block(*details)
        case "collect":
            pipe.send(await client.collect())


def block(seconds: float) -> None:
    """Hold up the running event loop."""
    threading.Event().wait(seconds)
