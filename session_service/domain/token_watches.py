"""What one client is told of the tokens that it remembers the answers for.

Answers, changes and pongs leave in the order in which they became known, so that a client that has a pong has
heard of every change before it. Nothing piles up: answers and pongs that have not left hold places of a
bounded room, and of changes there can be no more than there are answers that were told.

No client has more answers watched than are left to others: one takes half of all at most, ten leave an
eleventh. Beyond that it is answered, and not told of changes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from session_service.domain.checks import TokenCheck
from session_service.domain.errors import FieldViolation, InvalidArgument, StoreUnavailable
from session_service.domain.models import Identity
from session_service.domain.watching import SessionWatches, Watch

ROOM: Final = 256
"""Questions of one client that may be under way, or answered and not taken; it has to wait with more."""

MAX_FORGOTTEN: Final = 1_024
"""Answers that one message may say are forgotten."""

_MOST_TOGETHER: Final = 1_024


@dataclass(frozen=True, slots=True)
class Verified:
    """A token is accepted; watched for so many seconds from the question on, or not at all (``None``)."""

    id: int
    identity: Identity
    valid_for: float | None


@dataclass(frozen=True, slots=True)
class Failed:
    """A token is not accepted, or could not be checked."""

    id: int
    error: Exception


@dataclass(frozen=True, slots=True)
class Invalidated:
    """Answers no longer hold."""

    ids: list[int]


@dataclass(frozen=True, slots=True)
class Pong:
    """Everything has been told that was acknowledged before the ping."""

    id: int


Told: TypeAlias = Verified | Failed | Invalidated | Pong


class _Answer(Watch):
    """An answer that the client may remember."""

    __slots__ = ("_over", "id")

    def __init__(self, number: int, over: Callable[[_Answer], None]) -> None:
        super().__init__()
        self.id = number
        self._over = over

    def ended(self) -> None:
        """Have it told to the client."""
        self._over(self)


class TokenWatches:
    """Checks and watches one client's tokens.

    Args:
        check: checks strictly.
        watches: tells of changes.
    """

    def __init__(self, check: TokenCheck, watches: SessionWatches) -> None:
        self._check = check
        self._watches = watches
        self._answers: dict[int, _Answer] = {}
        self._outbox: deque[Told] = deque()
        self._news = asyncio.Event()
        self._room = asyncio.Semaphore(ROOM)
        self._under_way: set[asyncio.Task[None]] = set()
        self._no_more_questions = False

    async def verify(self, number: int, token: str) -> None:
        """Take a question; returns when it is under way.

        Raises:
            InvalidArgument: the number is in use.
        """
        if number in self._answers:
            raise InvalidArgument(FieldViolation("verify.id", "must not be used twice"))
        answer = self._answers[number] = _Answer(number, self._ended)
        await self._begin(self._verify(answer, token))

    async def ping(self, number: int) -> None:
        """Take a ping; returns when its answer is under way."""
        await self._begin(self._ping(number))

    def forget(self, numbers: Sequence[int]) -> None:
        """Tell nothing of these answers any more.

        Raises:
            InvalidArgument: too many at once.
        """
        if len(numbers) > MAX_FORGOTTEN:
            raise InvalidArgument(FieldViolation("forget.ids", f"must be at most {MAX_FORGOTTEN}"))
        for number in numbers:
            answer = self._answers.get(number)
            if answer is not None:
                self._forget(answer)

    def finish(self) -> None:
        """Take note that no more is asked: what is under way is answered, and that is all."""
        self._no_more_questions = True
        self._news.set()

    async def told(self) -> Told | None:
        """The next thing to tell; ``None`` after the last. Whoever takes it has told what came before."""
        while not self._outbox:
            if self._no_more_questions and not self._under_way:
                return None
            self._news.clear()
            await self._news.wait()
        told = self._outbox.popleft()
        if not isinstance(told, Invalidated):
            self._room.release()
        return told

    def close(self) -> None:
        """Watch nothing any more."""
        for task in self._under_way:
            task.cancel()
        for answer in self._answers.values():
            self._watches.forget(answer)
        self._answers.clear()

    async def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await self._room.acquire()
        except BaseException:
            work.close()
            raise
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._news.set()

    async def _verify(self, answer: _Answer, token: str) -> None:
        try:
            identity, valid_for = await self._checked(answer, token)
        except Exception as error:  # noqa: BLE001 - it is an answer too; what it may say is decided elsewhere
            self._forget(answer)
            self._tell(Failed(answer.id, error))
            return
        if self._answers.get(answer.id) is not answer:
            self._watches.forget(answer)  # forgotten before it was known
        watched = answer.feed is not None and valid_for > 0
        if not watched:
            self._forget(answer)
        self._tell(Verified(answer.id, identity, valid_for if watched else None))

    async def _checked(self, answer: _Answer, token: str) -> tuple[Identity, float]:
        if len(self._answers) > self._watches.left:
            return await self._check.check(token), 0.0
        return await self._check.watch(token, answer)

    async def _ping(self, number: int) -> None:
        try:
            await self._watches.caught_up()
        except StoreUnavailable:
            self._room.release()  # no pong: the client sees that it cannot know
            return
        self._tell(Pong(number))

    def _ended(self, answer: _Answer) -> None:
        self._forget(answer)
        last = self._outbox[-1] if self._outbox else None
        if isinstance(last, Invalidated) and len(last.ids) < _MOST_TOGETHER:
            last.ids.append(answer.id)
        else:
            self._tell(Invalidated([answer.id]))

    def _forget(self, answer: _Answer) -> None:
        # Its id may be another's by now: of one that was forgotten while it was being asked for.
        if self._answers.get(answer.id) is answer:
            del self._answers[answer.id]
        self._watches.forget(answer)

    def _tell(self, told: Told) -> None:
        self._outbox.append(told)
        self._news.set()
