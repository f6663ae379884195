"""What is wanted of a serving process from outside, as signals."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import sys
from typing import Protocol

from session_service import stopping


class Ordered(Protocol):
    """A server that carries out orders."""

    def reload_keys(self) -> None:
        """Use the keys as the file has them now."""

    def leave_soon(self) -> None:
        """Take calls for a moment more at most."""

    def cut_short(self) -> None:
        """Stop at once, whatever is in flight."""


class Orders:
    """What is wanted of this process from outside, as signals or as their numbers."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self._running: Ordered | None = None
        self._keys_changed = False
        self._orphaned = False

    def obey(self, number: int) -> None:
        """Do as a signal says.

        SIGHUP: read the keys again. SIGINT once more while stopping: somebody stands at the terminal
        and waits, so cut the drain short. Anything else, or SIGINT the first time: stop.
        """
        if number == signal.SIGHUP:
            self._keys_changed = True
        elif number == signal.SIGINT and self.stopping.is_set() and self._running:
            self._running.cut_short()
        else:
            self.stopping.set()
        self._catch_up()

    def lose_supervisor(self) -> None:
        """Stop, and leave the port soon: another supervisor may be about to start."""
        self._orphaned = True
        self.stopping.set()
        self._catch_up()

    def apply_to(self, running: Ordered) -> None:
        """From here on orders are carried out on this server, and what came before is."""
        self._running = running
        self._catch_up()

    def _catch_up(self) -> None:
        if self._running is None:
            return
        if self._orphaned:
            self._running.leave_soon()
        if self._keys_changed:
            self._keys_changed = False
            self._running.reload_keys()


def follow_signals(orders: Orders) -> None:
    """Take orders by SIGTERM, SIGINT and SIGHUP, and stop when the supervisor is gone."""
    loop = asyncio.get_running_loop()
    on_terminal = sys.stderr.isatty()

    def hang_up() -> None:
        orders.obey(signal.SIGTERM if terminal_gone(on_terminal) else signal.SIGHUP)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, orders.obey, number)
    loop.add_signal_handler(signal.SIGHUP, hang_up)
    # Held back while a worker starts, where it would have ended it.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    if stopping.was_asked_for():
        orders.obey(signal.SIGTERM)
    if parent := multiprocessing.parent_process():
        loop.add_reader(parent.sentinel, _orphaned, loop, parent.sentinel, orders)


def _orphaned(loop: asyncio.AbstractEventLoop, sentinel: int, orders: Orders) -> None:
    """Stop, and look no more: what is closed stays readable, and would keep the loop awake."""
    loop.remove_reader(sentinel)
    orders.lose_supervisor()


def terminal_gone(on_terminal: bool) -> bool:
    """Whether SIGHUP came because the terminal was closed, and not to have the keys read again.

    Args:
        on_terminal: whether the process was started on one.
    """
    return on_terminal and not sys.stderr.isatty()
