"""What a verifier knows and what it says: the whole of its logic, without time, threads or network.

Both verifiers put it between their callers and a ``WatchTokens`` stream. Why its answers can be trusted:

* An entry is what a strict check said, and the service tells (``invalidated``) when that changes. Messages
  come in order, so when a ``pong`` comes, everything has come that was acknowledged before its ``ping``.
  Within ``max_staleness`` of the sending of that ping an entry may be used: no session that had ended
  longer ago than that can still be in it.
* A question is put down before it is sent: an ``invalidated`` that overtakes the answer finds it there.
* The end of a stream ends everything that is remembered.

Whatever is not provably fresh is left to an ordinary call. Times are seconds of ``_clock.steady``; where
something is sent, the moment at which it is handed over counts, which is never later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final, Generic, Protocol, TypeAlias, TypeVar

import grpc
from session_api.v1 import session_service_pb2 as pb

from session_client._conversions import identity_of
from session_client._memory import Entry, Memory
from session_client._results import Identity

Outcome: TypeAlias = Identity | pb.CheckFailure | None
"""What becomes of a question; ``None``: no answer, make a call."""


class Settled(Protocol):
    """What waits for an outcome: a future of asyncio or of threads."""

    def set_result(self, result: Outcome, /) -> None:
        """End the waiting."""


F = TypeVar("F", bound=Settled)

MAX_FORGOTTEN: Final = 1_024
"""The most ids in one ``forget``, as the API states it."""

_LAST_ID: Final = 2**32 - 1
# Tokens are touched up to this part of their interval too late; too early, the service would not note it.
_TOUCH_SPREAD: Final = 1 / 64
_UNAVAILABLE: Final[int] = grpc.StatusCode.UNAVAILABLE.value[0]
_UNAUTHENTICATED: Final[int] = grpc.StatusCode.UNAUTHENTICATED.value[0]


class Question(Generic[F]):
    """A check that is under way over the stream.

    ``answer`` is settled once. ``rememberable`` ends with an ``invalidated`` that overtakes the answer.
    """

    __slots__ = ("answer", "id", "rememberable", "sent_at", "token")

    def __init__(self, number: int, token: str, sent_at: float, answer: F) -> None:
        self.id = number
        self.token = token
        self.sent_at = sent_at
        self.answer = answer
        self.rememberable = True


class Watching(Generic[F]):
    """The state between callers and stream.

    ``remembered`` may be called by any thread at any time; all else by one thread at a time. ``is_open``
    holds from ``opened`` to ``lost``; ``was_confirmed`` from the first pong of a stream to the next stream.

    Args:
        max_staleness: seconds that an answer may be behind.
        max_tokens: the most answers to remember.
        touch_interval: seconds after which the service hears of a token's use.
        patience: seconds after which a stream that does not answer is dead.
        new_answer: makes what is settled with a question's outcome.
    """

    def __init__(
        self,
        *,
        max_staleness: float,
        max_tokens: int,
        touch_interval: float,
        patience: float,
        new_answer: Callable[[], F],
    ) -> None:
        self._max_staleness = max_staleness
        self._max_tokens = max_tokens
        self._touch_interval = touch_interval
        self._patience = patience
        self._new_answer = new_answer
        self._memory = Memory(max_tokens)
        self._entries = self._memory.entries
        self._questions: dict[int, Question[F]] = {}
        self._asked: dict[str, Question[F]] = {}
        self._unsent: deque[Question[F]] = deque()
        self._forgotten: deque[int] = deque()
        self._ping: int | None = None
        self._ping_unsent = False
        self._ping_sent_at = -inf
        self._ping_due_at = -inf
        self._fresh_until = -inf
        self._heard_at = -inf
        self._last_id = 0
        self._touch_at = -inf
        self.is_open = False
        self.was_confirmed = False

    def remembered(self, token: str, now: float) -> Identity | None:
        """Whose a token is, where that is known, fresh, and nothing is to be sent because of it."""
        # Read before the entry: of a pong that comes between the two, the entry may be older than what
        # it confirms. And the clock was read before both.
        fresh_until = self._fresh_until
        entry = self._entries.get(token)
        if (
            entry is not None
            and now < fresh_until
            and now < entry.valid_until
            and now < entry.touch_at
            and now < self._ping_due_at
        ):
            entry.used = True
            return entry.identity
        return None

    def ask(self, token: str, now: float) -> Identity | Question[F] | None:
        """Whose a token is, or a question under way that will tell, or ``None``: make a call."""
        if not self.is_open:
            return None
        if self._ping is None and now >= self._ping_due_at:
            self._send_ping(now)
        if now >= self._fresh_until:
            return None
        entry = self._entries.get(token)
        if entry is not None and now < entry.valid_until:
            entry.used = True
            if now >= entry.touch_at:
                self._touch(token, entry, now)
            return entry.identity
        self._forgotten.extend(self._memory.drop(token))
        question = self._asked.get(token)
        if question is not None and question.sent_at > now - self._max_staleness:
            return question
        return self._new_question(token, now)

    def is_stalled(self, now: float) -> bool:
        """Whether the stream has left something unanswered for too long, or has no ids left."""
        if not self.is_open:
            return False
        too_long_ago = now - self._patience
        if self._ping is not None and self._ping_sent_at <= too_long_ago:
            return True
        # Many questions at once take their time; what counts is that answers go on coming.
        oldest = next(iter(self._questions.values()), None)
        waits = oldest is not None and max(oldest.sent_at, self._heard_at) <= too_long_ago
        return waits or self._last_id >= _LAST_ID

    def opened(self, now: float) -> None:
        """Begin with a new stream; the one before must have been ``lost``."""
        self.is_open = True
        self.was_confirmed = False
        self._last_id = 0
        self._send_ping(now)

    def lost(self) -> None:
        """Drop everything: the stream is over, or is taken for it. What it may still say is ignored."""
        self.is_open = False
        self._fresh_until = self._ping_due_at = -inf
        self._memory.clear()
        self._unsent.clear()
        self._forgotten.clear()
        self._ping, self._ping_unsent = None, False
        self._asked.clear()
        questions, self._questions = self._questions, {}
        for question in questions.values():
            question.answer.set_result(None)

    @property
    def has_unsent(self) -> bool:
        """Whether there is something to be sent."""
        return self._ping_unsent or bool(self._forgotten) or bool(self._unsent)

    def next_message(self) -> pb.WatchTokensRequest | None:
        """The next message to be sent. A ping goes first: freshness does not stand in a queue."""
        if self._ping_unsent and self._ping is not None:
            self._ping_unsent = False
            return pb.WatchTokensRequest(ping=pb.WatchTokensRequest.Ping(id=self._ping))
        if self._forgotten:
            count = min(len(self._forgotten), MAX_FORGOTTEN)
            ids = [self._forgotten.popleft() for _ in range(count)]
            return pb.WatchTokensRequest(forget=pb.WatchTokensRequest.Forget(ids=ids))
        if self._unsent:
            question = self._unsent.popleft()
            verify = pb.WatchTokensRequest.Verify(id=question.id, token=question.token)
            return pb.WatchTokensRequest(verify=verify)
        return None

    def heard(self, message: pb.WatchTokensResponse, now: float) -> None:
        """Take in a message; to be called in the order in which they came."""
        if not self.is_open:
            return
        self._heard_at = now
        match message.WhichOneof("response"):
            case "verified":
                self._verified(message.verified, now)
            case "failed":
                self._failed(message.failed)
            case "invalidated":
                self._invalidated(message.invalidated)
            case "pong":
                self._pong(message.pong)
            case _:
                pass  # of a newer service

    def _verified(self, verified: pb.WatchTokensResponse.Verified, now: float) -> None:
        identity = identity_of(verified.identity)
        question = self._take_question(verified.id)
        if question is None:
            return
        watched = verified.HasField("valid_for") and question.rememberable
        valid_for = verified.valid_for.seconds + verified.valid_for.nanos / 1e9
        valid_until = question.sent_at + valid_for
        if watched and now < valid_until:
            entry = Entry(question.id, identity, valid_until, self._touch_after(question.sent_at))
            self._forgotten.extend(self._memory.put(question.token, entry))
        else:
            # What is remembered is the newest answer or nothing.
            self._forgotten.extend(self._memory.drop(question.token))
            if watched:
                self._forgotten.append(question.id)
        question.answer.set_result(identity)

    def _failed(self, failed: pb.WatchTokensResponse.Failed) -> None:
        question = self._take_question(failed.id)
        if question is None:
            return
        self._forgotten.extend(self._memory.drop(question.token))
        # A call is repeated where the service is away for a moment; a question is not.
        away = failed.failure.code == _UNAVAILABLE
        question.answer.set_result(None if away else failed.failure)

    def _invalidated(self, invalidated: pb.WatchTokensResponse.Invalidated) -> None:
        for number in invalidated.ids:
            self._memory.drop_id(number)
            question = self._questions.get(number)
            if question is not None:
                question.rememberable = False
                self._no_longer_asked(question)

    def _pong(self, pong: pb.WatchTokensResponse.Pong) -> None:
        if pong.id == self._ping:
            self._ping = None
            self.was_confirmed = True
            self._fresh_until = self._ping_sent_at + self._max_staleness
            self._ping_due_at = self._ping_sent_at + self._max_staleness / 2

    def _send_ping(self, now: float) -> None:
        self._ping, self._ping_unsent, self._ping_sent_at = self._new_id(), True, now
        # While it is under way, none is due.
        self._ping_due_at = inf

    def _touch(self, token: str, entry: Entry, now: float) -> None:
        """Have a token checked again, so that the service hears of its use; once per interval."""
        if token not in self._asked and self._new_question(token, now) is not None:
            entry.touch_at = self._touch_after(now)

    def _touch_after(self, sent_at: float) -> float:
        """When to touch a token again; one and the same number for many, as each would take 24 bytes."""
        touch_at = sent_at + self._touch_interval
        if touch_at > self._touch_at:
            self._touch_at = touch_at + self._touch_interval * _TOUCH_SPREAD
        return self._touch_at

    def _new_question(self, token: str, now: float) -> Question[F] | None:
        if len(self._questions) >= self._max_tokens:
            return None
        question = Question(self._new_id(), token, now, self._new_answer())
        self._questions[question.id] = self._asked[token] = question
        self._unsent.append(question)
        return question

    def _take_question(self, number: int) -> Question[F] | None:
        question = self._questions.pop(number, None)
        if question is not None:
            self._no_longer_asked(question)
        return question

    def _no_longer_asked(self, question: Question[F]) -> None:
        """Have nobody join it any more."""
        if self._asked.get(question.token) is question:
            del self._asked[question.token]

    def _new_id(self) -> int:
        self._last_id += 1
        return self._last_id
