"""What is kept of a token's last read is used again only where Redis says the same once more."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final
from unittest.mock import Mock

import pytest
from redis.exceptions import ResponseError

from session_service.domain.errors import StoreUnavailable
from session_service.domain.models import AccessClaims, LiveState
from session_service.storage.gathering import Gathering
from session_service.storage.reads import OnOutcomes, Outcome, Question
from session_service.storage.sessions import RedisSessionReader

FIELDS: Final = (b"ada", b"editor", b"1000", b"9000")
STATE: Final = LiveState("s", "ada", ("editor",), 1000, 9000)


class Replies:
    """Answers each question with ``outcome``."""

    def __init__(self) -> None:
        self.outcome: Outcome = []
        self.packed: list[bytes] = []

    def ask(self, questions: Sequence[Question], on_outcomes: OnOutcomes) -> None:
        """At once."""
        self.packed = [question.packed for question in questions]
        on_outcomes(range(len(questions)), [self.outcome for _ in questions])


class Reader:
    """Reads one token's state again and again."""

    def __init__(self) -> None:
        self.replies = Replies()
        reads: Any = self.replies
        self._reader = RedisSessionReader(reads)
        self.claims = AccessClaims("u", "s", "t", 0, 1)

    def read(self, outcome: Outcome, claims: AccessClaims | None = None) -> LiveState | Exception | None:
        """The state that these replies give."""
        self.replies.outcome = outcome
        found: list[LiveState | Exception | None] = []
        self._reader.ask([claims or self.claims], lambda _, states: found.extend(states))
        return found[0]


def _fields(**changes: bytes | None) -> list[bytes | None]:
    names = ("username", "roles", "last_active", "expires_at")
    return list((dict(zip(names, FIELDS, strict=True)) | changes).values())


def test_equal_replies_are_the_same_state() -> None:
    """Nothing is decoded twice."""
    reader = Reader()
    first = reader.read([b"s", _fields()])
    assert first == STATE
    assert reader.read([b"s", _fields()]) is first


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        ([None, _fields()], STATE._replace(token_session_id=None)),
        ([b"s-2", _fields()], STATE._replace(token_session_id="s-2")),
        ([b"s", _fields(username=b"eve")], STATE._replace(username="eve")),
        ([b"s", _fields(roles=b"")], STATE._replace(roles=())),
        ([b"s", _fields(last_active=b"2000")], STATE._replace(last_active_ms=2000)),
        ([b"s", _fields(expires_at=b"9001")], STATE._replace(expires_ms=9001)),
        ([b"s", [None] * 4], None),
        ([None, [None] * 4], None),
    ],
)
def test_other_replies_are_another_state(outcome: Outcome, state: LiveState | None) -> None:
    """Whatever Redis says otherwise than before is what counts, and then what it says after that."""
    reader = Reader()
    reader.read([b"s", _fields()])
    assert reader.read(outcome) == state
    assert reader.read([b"s", _fields()]) == STATE


@pytest.mark.parametrize("error", [StoreUnavailable(), ResponseError("WRONGTYPE")])
def test_an_error_is_no_state(error: Exception) -> None:
    """What was read before does not stand in for what cannot be read."""
    reader = Reader()
    reader.read([b"s", _fields()])
    assert reader.read(error) is error


def test_replies_that_make_no_sense_are_an_error_each_time() -> None:
    """They are not taken for what was read before either."""
    reader = Reader()
    reader.read([b"s", _fields()])
    for _ in range(2):
        assert isinstance(reader.read([b"s", _fields(last_active=b"soon")]), ValueError)


def test_what_is_kept_belongs_to_the_claims() -> None:
    """Claims that were verified anew, under other keys say, begin with nothing; others have their own."""
    reader = Reader()
    first = reader.read([b"s", _fields()])
    again = reader.read([b"s", _fields()], AccessClaims("u", "s", "t", 0, 1))
    assert again == first
    assert again is not first


def test_the_commands_are_those_of_the_token() -> None:
    """They are packed once, for the one token and its session."""
    reader = Reader()
    reader.read([b"s", _fields()])
    (packed,) = reader.replies.packed
    assert packed.startswith(b"*2\r\n$3\r\nGET\r\n")
    reader.read([b"s", _fields()], AccessClaims("u", "s", "t-2", 0, 1))
    assert reader.replies.packed != [packed]
    reader.read([b"s", _fields()])
    assert reader.replies.packed == [packed]
    assert reader.replies.packed[0] is packed


async def test_reads_of_one_turn_share_a_trip() -> None:
    """Each has its own state; what one gave up goes nowhere, and takes none of the others with it."""
    replies = Replies()
    reads: Any = replies
    reader = RedisSessionReader(reads)
    replies.outcome = [b"s", _fields()]
    first, left, last = (reader.read(AccessClaims("u", "s", f"t-{number}", 0, 1)) for number in range(3))
    left.cancel()
    assert [await first, await last] == [STATE, STATE]
    assert len(replies.packed) == 3
    replies.outcome = StoreUnavailable()
    assert await reader.read(AccessClaims("u", "s", "t-1", 0, 1)) is replies.outcome
    assert len(replies.packed) == 1


@pytest.mark.parametrize("first_leaves", [False, True])
async def test_reads_that_are_held_back_share_a_trip(
    first_leaves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of several turns leave together in the end, also without the one that came first."""
    monkeypatch.setattr(Gathering, "holds", True)
    monkeypatch.setattr(Gathering, "__init__", lambda _: None)
    left: list[int] = []
    monkeypatch.setattr(Gathering, "left", lambda _, calls, _now: left.append(calls))
    replies = Replies()
    reads: Any = replies
    reader = RedisSessionReader(reads)
    replies.outcome = [b"s", _fields()]
    asked = []
    for number in range(3):
        asked.append(reader.read(AccessClaims("u", "s", f"t-{number}", 0, 1)))
        await asyncio.sleep(0)
    assert not replies.packed
    if first_leaves:
        asked.pop(0).cancel()
    assert [await each for each in asked] == [STATE] * len(asked)
    assert len(replies.packed) == 3
    assert left == [3]


@pytest.mark.parametrize("broken", ["ask", "left"])
async def test_a_read_that_cannot_be_begun_ends(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is raised on the way is the outcome of all that were to go together."""
    monkeypatch.setattr(Replies if broken == "ask" else Gathering, broken, Mock(side_effect=KeyError))
    replies: Any = Replies()
    reader = RedisSessionReader(replies)
    asked = [reader.read(AccessClaims("u", "s", f"t-{number}", 0, 1)) for number in range(2)]
    assert [type(await each) for each in asked] == [KeyError, KeyError]
