"""A channel: one link to a primary, opened again whenever it is lost.

A background task owns the link. It dials with jittered back-off, looks once a second that the server
is still the primary, and never holds up the loop. Callers only look whether there is a link.
"""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError

from session_service.domain.errors import StoreUnavailable
from session_service.storage.dialling import being_cancelled
from session_service.storage.faults import is_configuration_fault
from session_service.storage.link import FailedReplies, Link

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from redis.asyncio.connection import AbstractConnection

    from session_service.storage.link import Command, Take
    from session_service.storage.tracking import Tracking

_LOGGER = logging.getLogger(__name__)

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
_CHECK_INTERVAL: Final = 1.0
# A reader waits this long for an attempt under way, and for nothing else: enough for a connection that
# Redis closed and takes again at once (CLIENT KILL, a restart), well below the 200 ms of a gateway.
_PATIENCE: Final = 0.1


class Channel:
    """Asks one primary over one connection.

    Args:
        name: for the log, such as ``127.0.0.1:6379``.
        dial: opens and greets a connection to the primary.
        prepare: what to do over a new link before anybody reads over it.
        tracking: told of the keys that change, and of the links.
        is_primary: whether that connection's server still is the primary, as far as can be told from
            elsewhere or over the link; asked once a second.
        command_timeout: seconds a reply may take.
        on_change: called when the link is lost or cannot be opened.
        changing: as ``Link``.
    """

    def __init__(
        self,
        *,
        name: str,
        dial: Callable[[], Awaitable[AbstractConnection]],
        prepare: Callable[[Link], Awaitable[None]],
        tracking: Tracking,
        is_primary: Callable[[AbstractConnection, Link], Awaitable[bool]],
        command_timeout: float,
        on_change: Callable[[], None],
        changing: bool = False,
    ) -> None:
        self.name = name
        self._dial = dial
        self._prepare = prepare
        self._tracking = tracking
        self._is_primary = is_primary
        self._command_timeout = command_timeout
        self._on_change = on_change
        self._changing = changing
        self._link: Link | None = None
        # Done while there is nothing to wait for; renewed before the link can be lost.
        self._attempt: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._failing = False
        self._task: asyncio.Task[None] | None = None
        self._asking: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to connect, and never stop trying until closed."""
        self._task = asyncio.create_task(self._run(), name=f"channel {self.name}")

    @property
    def is_open(self) -> bool:
        """Whether there is a link."""
        return self._link is not None and not self._link.lost.done()

    def renew(self, reason: str) -> None:
        """End the link, if there is one, and open another."""
        if self._link is not None:
            self._link.drop(reason)

    async def attempted(self) -> None:
        """Wait for the first attempt to end, well or not; from ``start`` on."""
        await asyncio.wait({self._attempt})

    async def close(self) -> None:
        """Stop; what is in flight fails."""
        if self._link is not None:
            self._link.drop("closed")
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def read(self, commands: tuple[Command, ...]) -> Awaitable[list[Any]]:
        """Run commands in one round trip; to be awaited at once.

        Raises:
            StoreUnavailable: not connected, or the connection was lost before the last reply.
            FailedReplies: a command was answered with an error.
        """
        link = self._link
        if link is None or link.lost.done():
            return self._read_later(commands)
        return link.send(commands)

    def ask(self, packed: Sequence[bytes], count: int, take: Take) -> None:
        """As ``read``, without a task where the link is there; see ``Link.ask``."""
        link = self._link
        if link is not None and not link.lost.done():
            link.ask(packed, count, take)
            return
        task = asyncio.get_running_loop().create_task(self._ask_later(packed, count, take))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def track(self, commands: tuple[Command, ...]) -> tuple[list[Any], Link]:
        """As ``read``, and by which link."""
        link = self._link
        if link is None or link.lost.done():
            link = await self._next_link()
        return await link.send(commands), link

    async def answers(self) -> bool:
        """Whether the primary answers, for health; costs it nothing and ends with the time-out."""
        try:
            await self.read((("DBSIZE",),))
        except (StoreUnavailable, FailedReplies):
            return False
        return True

    async def _read_later(self, commands: tuple[Command, ...]) -> list[Any]:
        link = await self._next_link()
        return await link.send(commands)

    async def _ask_later(self, packed: Sequence[bytes], count: int, take: Take) -> None:
        try:
            link = await self._next_link()
        except StoreUnavailable as error:
            take(error)
        else:
            link.ask(packed, count, take)

    async def _next_link(self) -> Link:
        await asyncio.wait({self._attempt}, timeout=_PATIENCE)
        if self._link is None or self._link.lost.done():
            raise StoreUnavailable
        return self._link

    async def _run(self) -> None:
        pause = _FIRST_PAUSE
        loop = asyncio.get_running_loop()
        while not being_cancelled():
            started = loop.time()
            await self._connect_and_watch()
            self._on_change()
            if loop.time() - started > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
                continue
            self._end_attempt()
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, no secret
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _connect_and_watch(self) -> None:
        if self._attempt.done():
            self._attempt = asyncio.get_running_loop().create_future()
        try:
            link, connection = await self._open_link()
        except Exception as error:  # noqa: BLE001 - whatever it is: a channel that stops trying is gone for good
            self._log_failure(error)
            self._end_attempt()
            return
        self._link = link
        self._log_success()
        self._end_attempt()
        self._attempt = asyncio.get_running_loop().create_future()
        try:
            await self._watch(link, connection)
        finally:
            link.drop("closed")
        if not being_cancelled():
            _LOGGER.warning("redis %s: %s", self.name, link.lost.result())

    async def _open_link(self) -> tuple[Link, AbstractConnection]:
        connection = await self._dial()
        try:
            link = Link(connection, self._command_timeout, self._tracking, changing=self._changing)
        except RedisError:
            await connection.disconnect(nowait=True)
            raise
        try:
            await self._prepare(link)
            await self._tracking.begin(link)
        except BaseException:
            link.drop("could not be prepared")
            raise
        return link, connection

    async def _watch(self, link: Link, connection: AbstractConnection) -> None:
        while not link.lost.done() and not being_cancelled():
            await asyncio.wait({link.lost}, timeout=_CHECK_INTERVAL)
            with suppress(StoreUnavailable, FailedReplies):
                if not await self._still_primary(link, connection):
                    link.drop("no longer the primary")

    async def _still_primary(self, link: Link, connection: AbstractConnection) -> bool:
        # A primary turned replica goes on answering reads, out of date; only its role tells.
        (hello,) = await link.send((("HELLO",),))
        return hello[b"role"] == b"master" and await self._is_primary(connection, link)

    def _end_attempt(self) -> None:
        if not self._attempt.done():
            self._attempt.set_result(None)

    def _log_success(self) -> None:
        self._failing = False
        _LOGGER.info("redis %s: channel open", self.name)

    def _log_failure(self, error: Exception) -> None:
        if not self._failing:
            level = logging.ERROR if is_configuration_fault(error) else logging.WARNING
            _LOGGER.log(level, "redis %s: cannot connect, trying again: %s", self.name, error)
        self._failing = True
