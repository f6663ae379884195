"""What a verifier remembers is bounded, and what goes is named."""

from __future__ import annotations

import gc
import secrets
import tracemalloc
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp
from session_api.v1 import session_service_pb2 as pb
from session_client import Identity
from session_client._memory import Entry, Memory
from session_client._watching import Watching

from tests.support.watching_model import pong, verified

if TYPE_CHECKING:
    from session_client._watching import Outcome

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
ANN = Identity("s1", "u1", "ann", (), NOON, NOON, NOON)


def entry(number: int) -> Entry:
    """An entry with that id."""
    return Entry(number, ANN, valid_until=9.0, touch_at=9.0)


def filled(count: int, capacity: int) -> Memory:
    """A memory with the ids 1 to ``count``, of the tokens ``t1`` and so on."""
    memory = Memory(capacity)
    for number in range(1, count + 1):
        assert memory.put(f"t{number}", entry(number)) == []
    return memory


def test_the_longest_unused_goes() -> None:
    """A full memory drops what was not used, the oldest first, and says its id."""
    memory = filled(3, capacity=3)
    memory.entries["t1"].used = True

    assert memory.put("t4", entry(4)) == [2]
    assert memory.put("t5", entry(5)) == [3]
    assert list(memory.entries) == ["t1", "t4", "t5"]


def test_use_counts_once() -> None:
    """What was used long ago is not kept for ever: each round it has to have been used again."""
    memory = filled(2, capacity=2)
    memory.entries["t1"].used = True
    gone = [memory.put(f"t{number}", entry(number)) for number in (3, 4)]

    assert gone == [[2], [1]]


def test_where_all_are_used_the_oldest_goes() -> None:
    """A memory of which everything is in use still has room for what is new."""
    memory = filled(3, capacity=3)
    for each in memory.entries.values():
        each.used = True

    assert memory.put("t4", entry(4)) == [1]
    assert len(memory.entries) == 3


def test_room_is_made_for_several_at_once() -> None:
    """A large memory drops a share at a time, so that the search for it costs little."""
    memory = filled(640, capacity=640)

    assert memory.put("new", entry(641)) == list(range(1, 11))


def test_a_new_answer_replaces_the_old_one() -> None:
    """A token has one entry; the id of the old one is said, and no other token suffers."""
    memory = filled(2, capacity=2)

    assert memory.put("t1", entry(3)) == [1]
    assert memory.entries["t1"].id == 3
    memory.drop_id(1)
    assert list(memory.entries) == ["t2", "t1"]


def test_drop() -> None:
    """An entry is dropped by its token or by its id; what is not there is no matter."""
    memory = filled(2, capacity=2)

    assert memory.drop("t1") == [1]
    assert memory.drop("t1") == []
    memory.drop_id(2)
    memory.drop_id(2)
    assert not memory.entries
    assert not memory._tokens


def test_clear() -> None:
    """Everything goes at once."""
    memory = filled(2, capacity=2)
    memory.clear()

    assert not memory.entries
    assert not memory._tokens


def test_a_remembered_token_takes_a_kibibyte() -> None:
    """Entry, identity, indexes and the copy of the token itself take at most 1,024 bytes, at any fill."""
    core: Watching[Future[Outcome]] = Watching(
        max_staleness=60.0, max_tokens=10_000, touch_interval=60.0, patience=1.0, new_answer=Future
    )
    core.opened(0.0)
    core.heard(pong(core._last_id), 0.0)
    tracemalloc.start()
    try:
        for number in range(1, 11_001):
            core.ask(secrets.token_urlsafe(285), 0.0)  # as long as an HS256 token
            core.heard(typical(core._last_id), 0.0)
            while core.next_message():
                pass
            if number in {5_000, 10_000, 11_000}:
                gc.collect()
                assert 800 <= _held() / len(core._entries) <= 1_024
    finally:
        tracemalloc.stop()


def _held() -> int:
    """Bytes that the client holds, and the tokens; other threads of a test run allocate as well."""
    whose = [tracemalloc.Filter(True, each) for each in ("*/session_client/_*", secrets.__file__)]
    snapshot = tracemalloc.take_snapshot().filter_traces(whose)
    return sum(each.size for each in snapshot.statistics("filename"))


def typical(number: int) -> pb.WatchTokensResponse:
    """An accept as the service gives it, with ids of 22 characters and a name that is an address."""

    def instant() -> Timestamp:
        return Timestamp(
            seconds=1_893_499_200 + secrets.randbelow(10_000), nanos=secrets.randbelow(10**6) * 1_000
        )

    message = verified(number, secrets.token_urlsafe(16), 1_700 + secrets.randbelow(1_000) / 7)
    identity = message.verified.identity
    identity.session_id = secrets.token_urlsafe(16)
    identity.username = f"user{number:07}@example.com"
    identity.roles.extend(["user", "editor"])
    identity.token_expire_time.CopyFrom(instant())
    identity.session_expire_time.CopyFrom(instant())
    identity.last_active_time.CopyFrom(instant())
    return pb.WatchTokensResponse.FromString(message.SerializeToString())
