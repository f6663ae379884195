"""One open connection to Redis on which many callers' commands travel at once.

Commands of one turn of the event loop leave in one write. What comes while replies are awaited leaves in the
next one, when the last of them is in: so under load many callers share a trip, and nobody waits where few
are. Who asks for many at once (``ask``) has gathered them already, and waits for nothing. Replies come back
in order and are dealt out to the callers in order. Whatever breaks the order (a lost connection, an overdue
reply, bytes that are no RESP) ends the link and fails everything in flight at once. A caller that was
cancelled keeps its place in the queue, so that its replies go nowhere instead of to the next caller.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import hiredis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from session_service.domain.errors import StoreUnavailable
from session_service.domain.steady import steady
from session_service.storage.faults import DEMOTED_CODES, fault_code

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis.asyncio.connection import AbstractConnection

Command = tuple[bytes | str | int, ...]
"""A command and its arguments; a tuple because hiredis packs nothing else."""

MAX_IN_FLIGHT: Final = 10_000
"""Calls that may wait for replies; with ``MAX_UNSENT`` this bounds what a stuck Redis can cost."""

MAX_UNSENT: Final = 4 * 1024 * 1024
"""Bytes that may wait to be written before calls are refused; some ten thousand checks."""

HOLD: Final = 0.001
"""Seconds for which commands wait for earlier replies, at most; none do where a trip takes longer."""

_LOGGER = logging.getLogger(__name__)
_PING: Final[Command] = ("PING",)
_INCOMPLETE: Final = object()
_GRACE: Final = 0.01
# After these the connection is of no use: another server is the primary, data are not there yet, or
# the credentials it was opened with no longer hold.
_FATAL_CODES: Final = DEMOTED_CODES | {"LOADING", "NOAUTH"}


class FailedReplies(Exception):
    """At least one of a call's commands was answered with an error.

    Args:
        replies: one per command, an error reply as a ``ResponseError``.
    """

    def __init__(self, replies: list[Any]) -> None:
        super().__init__()
        self.replies = replies

    @property
    def errors(self) -> list[ResponseError]:
        """The errors among the replies."""
        return [reply for reply in self.replies if isinstance(reply, ResponseError)]


Take: TypeAlias = "Callable[[list[Any] | StoreUnavailable | FailedReplies], None]"
"""Takes the replies of a call, or what ``Link.send`` raises."""


class Waiter(Protocol):
    """Who waits for the replies of a call; a future is one."""

    def done(self) -> bool:
        """Whether nobody waits any more."""

    def set_result(self, replies: list[Any], /) -> None:
        """Take the replies."""

    def set_exception(self, error: StoreUnavailable | FailedReplies, /) -> None:
        """Take what went wrong."""


class Asker:
    """Waits by a callback, which is called in the middle of what the link does.

    Args:
        take: the callback; what it raises is logged.
    """

    __slots__ = ("_take",)

    def __init__(self, take: Take) -> None:
        self._take = take

    def done(self) -> bool:
        """Never: it is called once."""
        return False

    def set_result(self, replies: list[Any] | StoreUnavailable | FailedReplies, /) -> None:
        """Pass on the replies, or what went wrong."""
        try:
            self._take(replies)
        except Exception:
            # The link goes on for the others.
            _LOGGER.exception("replies of redis not dealt with")

    set_exception = set_result


class Follower(Protocol):
    """Told of what a link says unasked, in order with the replies, and at once of its loss."""

    def invalidated(self, link: Link, keys: list[bytes] | None) -> None:
        """Note that keys that were read over the link have changed; ``None``: all of them."""

    def lost(self, link: Link) -> None:
        """Note that nothing will be said any more."""


class Link(asyncio.Protocol):
    """Speaks RESP on a transport that redis-py has opened and greeted; a ``domain.watching.Feed``.

    Args:
        connection: connected, with nothing left to read; the link takes its transport away.
        timeout: seconds a reply may take; the oldest call in flight is watched by one timer.
        follower: told of invalidations and of the link's loss, before anybody who waits for a reply.
        changing: commands change what is stored, so that where an answer is lost they may have done so.

    Raises:
        redis.exceptions.ConnectionError: the connection ended meanwhile or holds unread bytes.
    """

    def __init__(
        self, connection: AbstractConnection, timeout: float, follower: Follower, *, changing: bool = False
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[str] = self._loop.create_future()
        self.confirmed = float("-inf")
        """When the newest call that has its replies was sent, or a little before (the steady clock)."""
        self._timeout = timeout
        self._follower = follower
        self._changing = changing
        self._sign: asyncio.Future[list[Any]] | None = None
        self._sign_awaited: asyncio.Future[list[Any]] | None = None
        self._reader = hiredis.Reader(replyError=self._error_reply, notEnoughData=_INCOMPLETE)
        self._calls: deque[tuple[Waiter, int, float]] = deque()
        self._replies: list[Any] = []
        # Replies that the call lacks whose turn it is; 0 before its first one.
        self._missing = 0
        self._has_error = False
        self._fatal = ""
        self._packed: list[bytes] = []
        # Calls that were written, and those of them that have their replies, since the beginning.
        self._written = self._answered = 0
        # Which call the trip that is being timed ends with, when it left, and how long the last one took.
        self._timed = 0
        self._left = self._trip_seconds = 0.0
        self._flushing: asyncio.Handle | None = None
        self._now = 0.0
        self._paused = False
        self._watch: asyncio.TimerHandle | None = None
        # The writer is kept, since it closes its transport when it is collected.
        self._writer = _take_over(connection)
        self._transport = self._writer.transport
        self._transport.set_write_buffer_limits(high=MAX_UNSENT)
        self._transport.set_protocol(self)

    def send(self, commands: tuple[Command, ...]) -> asyncio.Future[list[Any]]:
        """Send the commands with what else this turn of the loop sends; the replies in order.

        Raises:
            StoreUnavailable: at once if the link is lost or too much is in flight, and as the result if
                it is lost before the last reply.
            FailedReplies: as the result, if a command was answered with an error.
        """
        if self._is_full():
            raise StoreUnavailable
        # hiredis's stub takes a tuple for a tuple of one.
        packed: list[bytes] = [hiredis.pack_command(command) for command in commands]  # type: ignore[arg-type]
        if not self._packed:
            self._begin_trip()
        self._packed += packed
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        self._calls.append((future, len(packed), self._now))
        return future

    def ask(self, packed: Sequence[bytes], count: int, take: Take) -> None:
        """Send commands at once, with what waits to be sent.

        Args:
            packed: the commands in RESP.
            count: how many they are.
            take: given the replies, or what ``send`` raises; must not raise.
        """
        if self._is_full():
            take(StoreUnavailable())
            return
        if not self._packed:
            self._now = steady()
        self._packed += packed
        self._calls.append((Asker(take), count, self._now))
        self._flush()

    def _is_full(self) -> bool:
        return self._paused or len(self._calls) >= MAX_IN_FLIGHT or self.lost.done()

    def confirmation(self) -> asyncio.Future[list[Any]]:
        """Send a PING that is answered after everything that Redis has said before it; not to be cancelled.

        Those who ask before it has left share it.

        Raises:
            StoreUnavailable: as ``send``.
        """
        if self._sign is None:
            self._sign = self.send((_PING,))
            self._sign.add_done_callback(_heed)
        return self._sign

    def confirm_soon(self) -> None:
        """Have ``confirmed`` moved on, if that is not under way already."""
        if self._sign_awaited is None or self._sign_awaited.done():
            with suppress(StoreUnavailable):
                self._sign_awaited = self.confirmation()

    def drop(self, reason: str) -> None:
        """End the link at once and fail everything in flight."""
        if self.lost.done():
            return
        self.lost.set_result(reason)
        self._follower.lost(self)
        self._transport.abort()
        if self._watch is not None:
            self._watch.cancel()
        self._packed.clear()
        while self._calls:
            future, _, _ = self._calls.popleft()
            if not future.done():
                # Also of what is not written yet: too often in doubt is better than once too few.
                future.set_exception(StoreUnavailable(maybe_done=self._changing))

    def data_received(self, data: bytes) -> None:
        """Deal out the replies that are complete."""
        gets = self._reader.gets
        try:
            self._reader.feed(data)
            while (reply := gets()) is not _INCOMPLETE:
                if type(reply) is hiredis.PushNotification:
                    self._take_push(reply)
                elif self._missing > 1:
                    self._missing -= 1
                    self._replies.append(reply)
                else:
                    self._take(reply)
        except hiredis.HiredisError as error:
            self.drop(f"protocol error: {error}")
        if self._fatal:
            self.drop(f"redis answered {self._fatal}")
        if self._packed and self._answered == self._written:
            self._flush_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what was in flight."""
        self.drop(f"connection lost: {exc or 'closed by redis'}")

    def pause_writing(self) -> None:
        """Refuse calls while too much waits to be written."""
        self._paused = True

    def resume_writing(self) -> None:
        """Take calls again."""
        self._paused = False

    def _take(self, reply: object) -> None:
        if not self._calls:
            raise hiredis.ProtocolError("a reply to no command")
        self._replies.append(reply)
        future, count, sent = self._calls[0]
        self._missing = count - len(self._replies)
        if self._missing:
            return
        self._calls.popleft()
        self._answered += 1
        if self._answered == self._timed:
            self._trip_seconds = time.perf_counter() - self._left
        self.confirmed = sent
        replies, self._replies = self._replies, []
        failed, self._has_error = self._has_error, False
        if future.done():
            return
        if failed:
            future.set_exception(FailedReplies(replies))
        else:
            future.set_result(replies)

    def _take_push(self, push: list[Any]) -> None:
        # Out of band: it answers no call.
        if push[0] == b"invalidate":
            self._follower.invalidated(self, push[1])

    def _error_reply(self, text: str) -> ResponseError:
        error = ResponseError(text)
        self._has_error = True
        code = fault_code(error)
        if code in _FATAL_CODES:
            self._fatal = code
        return error

    def _begin_trip(self) -> None:
        self._now = steady()
        if self._written > self._answered and self._trip_seconds < HOLD:
            self._flushing = self._loop.call_later(HOLD, self._flush)
        else:
            self._flush_soon()

    def _flush_soon(self) -> None:
        """Write in the next turn of the loop: who is woken by a reply may have more to send."""
        if self._flushing is not None:
            self._flushing.cancel()
        self._flushing = self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if not self._packed:
            return  # dropped or sent meanwhile
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        self._transport.write(b"".join(self._packed))
        self._packed.clear()
        self._sign = None
        if self._answered >= self._timed:
            # Not the loop's clock: uvloop's counts whole milliseconds.
            self._left, self._timed = time.perf_counter(), self._answered + len(self._calls)
        self._written = self._answered + len(self._calls)
        if self._watch is None:
            self._watch = self._loop.call_later(self._timeout, self._check, None)

    def _check(self, suspect: Waiter | None) -> None:
        # An overdue call gets a moment's grace: if this process was held up itself, its reply is here
        # already and only has to be read.
        self._watch = None
        if not self._calls or self.lost.done():
            return
        future, _, sent = self._calls[0]
        left = sent + self._timeout - steady()
        if left > 0:
            self._watch = self._loop.call_later(left, self._check, None)
        elif future is suspect:
            self.drop(f"no answer in {self._timeout:g} s")
        else:
            self._watch = self._loop.call_later(_GRACE, self._check, future)


def _heed(sign: asyncio.Future[list[Any]]) -> None:
    """Take note of a failure, which may be nobody's: the link's loss is told otherwise."""
    if not sign.cancelled():
        sign.exception()


def _take_over(connection: AbstractConnection) -> asyncio.StreamWriter:
    # redis-py has no public way to give a transport away; these are the three places it is kept in.
    reader, writer, parser = connection._reader, connection._writer, connection._parser  # noqa: SLF001
    if reader is None or writer is None or reader.at_eof() or writer.transport.is_closing():
        raise RedisConnectionError("the connection ended before it was taken over")
    if reader._buffer or parser._reader.has_data():  # type: ignore[attr-defined]  # noqa: SLF001
        raise RedisConnectionError("redis sent something unasked")
    connection._reader = connection._writer = None  # noqa: SLF001
    return writer
