"""What the verifier's core knows, asks and says; by chance in test_watching_property.py."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import pytest
from session_api.v1 import session_service_pb2 as pb
from session_client._results import Identity
from session_client._watching import MAX_FORGOTTEN, Question, Watching

from tests.support.watching_model import failed, invalidated, pong, verified

if TYPE_CHECKING:
    from collections.abc import Iterator

    from session_client._memory import Entry
    from session_client._watching import Outcome

BEGIN = 1_000.0
UNAVAILABLE = 14


def opened(**limits: Any) -> Watching[Future[Outcome]]:
    """A core whose stream works, confirmed at ``BEGIN``; stale a second later."""
    given = {"max_staleness": 1.0, "max_tokens": 100, "touch_interval": 60.0, "patience": 5.0, **limits}
    core: Watching[Future[Outcome]] = Watching(**given, new_answer=Future)
    core.opened(BEGIN)
    confirm(core, BEGIN)
    return core


def confirm(core: Watching[Any], now: float) -> None:
    """Answer the ping that is to be sent."""
    message = core.next_message()
    assert message is not None
    core.heard(pong(message.ping.id), now)


def asked(core: Watching[Future[Outcome]], token: str, now: float) -> Question[Future[Outcome]]:
    """A question about a token."""
    question = core.ask(token, now)
    assert isinstance(question, Question)
    return question


def remember(core: Watching[Future[Outcome]], token: str, now: float = BEGIN, **answer: float) -> int:
    """Have a token asked for and accepted; returns the id."""
    question = asked(core, token, now)
    core.heard(verified(question.id, token, **answer), now)
    list(unsent(core))
    return question.id


def unsent(core: Watching[Any]) -> Iterator[pb.WatchTokensRequest]:
    """Everything that is to be sent."""
    while (message := core.next_message()) is not None:
        yield message


def said(core: Watching[Any]) -> list[str]:
    """What is to be sent, by its kind."""
    return [message.WhichOneof("request") or "" for message in unsent(core)]


def test_what_is_remembered_needs_no_question() -> None:
    """Once accepted, a token is known without anything to be sent, until it is stale."""
    core = opened()
    remember(core, "ann")
    known = core.remembered("ann", BEGIN + 0.4)

    assert known is not None
    assert known.user_id == "ann"
    assert not core.has_unsent
    assert core.remembered("ben", BEGIN) is None


def test_staleness_counts_from_the_sending_of_the_ping() -> None:
    """However late the pong comes, nothing is used once the bound has passed since its ping was sent."""
    core = opened()
    remember(core, "ann")
    assert core.ask("ann", BEGIN + 0.7) is not None  # a ping goes out
    confirm(core, BEGIN + 1.6)

    assert core.remembered("ann", BEGIN + 1.65) is None
    assert core.ask("ann", BEGIN + 1.7) is None


def test_a_slow_pong_leaves_a_gap_and_no_more() -> None:
    """While a pong is overdue checks are calls; when it comes, memory serves again."""
    core = opened()
    remember(core, "ann")
    core.ask("ann", BEGIN + 0.9)
    assert core.ask("ann", BEGIN + 1.0) is None
    confirm(core, BEGIN + 1.1)

    assert isinstance(core.ask("ann", BEGIN + 1.1), Identity)


def test_pings_are_made_by_use() -> None:
    """A ping goes out when an answer is used past half of the bound, once, and never by itself."""
    core = opened()
    remember(core, "ann")
    assert core.remembered("ann", BEGIN + 0.49) is not None
    assert said(core) == []
    assert core.remembered("ann", BEGIN + 0.5) is None
    assert isinstance(core.ask("ann", BEGIN + 0.5), Identity)
    # While it is under way, the quick way serves again.
    assert core.remembered("ann", BEGIN + 0.6) is not None
    assert isinstance(core.ask("ann", BEGIN + 0.6), Identity)
    assert said(core) == ["ping"]


def test_a_pong_of_another_ping_confirms_nothing() -> None:
    """Only the ping that is under way counts."""
    core = opened()
    remember(core, "ann")
    core.ask("ann", BEGIN + 0.9)
    core.heard(pong(99), BEGIN + 0.9)

    assert core.ask("ann", BEGIN + 1.1) is None


def test_an_answer_holds_from_its_question_on() -> None:
    """`valid_for` runs from the sending of the question; the entry that it ends is forgotten."""
    core = opened(max_staleness=60.0)
    question = asked(core, "ann", BEGIN)
    core.heard(verified(question.id, "ann", 2.0), BEGIN + 1.5)

    assert core.remembered("ann", BEGIN + 1.9) is not None
    assert core.remembered("ann", BEGIN + 2.0) is None
    list(unsent(core))
    assert isinstance(core.ask("ann", BEGIN + 2.0), Question)
    assert said(core) == ["forget", "verify"]


@pytest.mark.parametrize("valid_for", [None, 0.0, 0.5], ids=["not set", "none", "already over"])
def test_what_may_not_be_remembered_is_not(valid_for: float | None) -> None:
    """Such an answer is given to whoever waits, and asked for again."""
    core = opened()
    question = asked(core, "ann", BEGIN)
    core.heard(verified(question.id, "ann", valid_for), BEGIN + 0.5)

    assert isinstance(question.answer.result(0), Identity)
    assert isinstance(core.ask("ann", BEGIN + 0.5), Question)


def test_an_end_is_an_end() -> None:
    """What is invalidated is not used again, and needs no forgetting."""
    core = opened()
    number = remember(core, "ann")
    remember(core, "ben")
    core.heard(invalidated(number, 77), BEGIN)

    assert core.remembered("ann", BEGIN) is None
    assert core.remembered("ben", BEGIN) is not None
    assert said(core) == []


def test_an_end_that_overtakes_the_answer_wins() -> None:
    """An answer whose end has been told is given to whoever waits for it, and neither kept nor joined."""
    core = opened()
    question = asked(core, "ann", BEGIN)
    core.heard(invalidated(question.id), BEGIN)
    assert asked(core, "ann", BEGIN) is not question
    core.heard(verified(question.id, "ann"), BEGIN)

    assert isinstance(question.answer.result(0), Identity)
    assert core.remembered("ann", BEGIN) is None


def test_a_pong_in_the_middle_of_a_look_does_not_revive() -> None:
    """Of another thread that takes in an end and a pong between a look's two reads, the look sees neither.

    Else a thread that was held up in between would use an ended answer, confirmed by what came after it.
    """
    core = opened()
    number = remember(core, "ann")
    core.ask("ann", BEGIN + 2.0)  # stale; a ping goes out

    class Interrupted(dict[str, "Entry"]):
        def get(self, key: str, default: Any = None) -> Any:
            found = super().get(key, default)
            core.heard(invalidated(number), BEGIN + 2.0)
            confirm(core, BEGIN + 2.0)
            return found

    core._entries = Interrupted(core._entries)
    assert core.remembered("ann", BEGIN + 2.0) is None


def test_one_question_for_many() -> None:
    """Checks of one token at once share a question."""
    core = opened()

    assert asked(core, "ann", BEGIN) is asked(core, "ann", BEGIN + 0.1)
    assert asked(core, "ben", BEGIN) is not asked(core, "ann", BEGIN)
    assert said(core) == ["verify", "verify"]


def test_an_old_question_is_not_joined() -> None:
    """A call that begins later than the bound after a question was sent needs an answer of its own."""
    core = opened()
    first = asked(core, "ann", BEGIN)
    core.ask("ann", BEGIN + 0.9)
    confirm_later = [message for message in unsent(core) if message.HasField("ping")]
    core.heard(pong(confirm_later[0].ping.id), BEGIN + 0.95)

    assert asked(core, "ann", BEGIN + 1.0) is not first


def test_questions_are_bounded() -> None:
    """Where as many are under way as may be remembered, the next check is a call."""
    core = opened(max_tokens=2)
    asked(core, "ann", BEGIN)
    asked(core, "ben", BEGIN)

    assert core.ask("eve", BEGIN) is None
    assert isinstance(core.ask("ann", BEGIN), Question)


def test_a_failure_is_the_answer_and_not_kept() -> None:
    """Whoever waits gets what the service said; the next check asks again."""
    core = opened()
    question = asked(core, "ann", BEGIN)
    core.heard(failed(question.id), BEGIN)

    outcome = question.answer.result(0)
    assert isinstance(outcome, pb.CheckFailure)
    assert isinstance(core.ask("ann", BEGIN), Question)


def test_a_store_that_is_away_is_left_to_a_call() -> None:
    """A call is repeated where the store is away for a moment, so the question ends without an outcome."""
    core = opened()
    question = asked(core, "ann", BEGIN)
    core.heard(failed(question.id, UNAVAILABLE), BEGIN)

    assert question.answer.result(0) is None


def test_the_end_of_the_stream_ends_everything() -> None:
    """Nothing is remembered, said or waited for across it, and what the old stream still says is ignored."""
    core = opened()
    number = remember(core, "ann")
    question = asked(core, "ben", BEGIN)
    core.lost()
    core.heard(verified(question.id, "ben"), BEGIN)
    core.heard(pong(1), BEGIN)

    assert question.answer.result(0) is None
    assert not core.has_unsent
    assert core.remembered("ann", BEGIN) is None
    assert core.ask("ann", BEGIN) is None
    core.opened(BEGIN)
    confirm(core, BEGIN)
    core.heard(invalidated(number), BEGIN)
    assert isinstance(core.ask("ann", BEGIN), Question)


def test_before_the_first_pong_checks_are_calls() -> None:
    """A stream that has not proven itself is not waited for."""
    core = opened()
    core.lost()
    core.opened(BEGIN)

    assert core.ask("ann", BEGIN) is None
    assert not core.was_confirmed
    confirm(core, BEGIN)
    assert core.was_confirmed


def test_use_is_told_in_the_background() -> None:
    """A token used past its interval is asked about once, served meanwhile, and then known anew."""
    core = opened(max_staleness=60.0, touch_interval=10.0)
    old = remember(core, "ann")
    late = BEGIN + 10.2
    assert core.remembered("ann", BEGIN + 9.9) is not None
    assert core.remembered("ann", late) is None
    assert isinstance(core.ask("ann", late), Identity)
    assert core.remembered("ann", late) is not None
    [message] = unsent(core)
    assert message.verify.token == "ann"
    core.heard(verified(message.verify.id, "ann"), late)

    [forget] = unsent(core)
    assert list(forget.forget.ids) == [old]
    assert core.remembered("ann", late + 9) is not None


def test_use_that_is_refused_ends_the_entry() -> None:
    """Where the check in the background fails, the token is not served any longer."""
    core = opened(max_staleness=60.0, touch_interval=10.0)
    old = remember(core, "ann")
    core.ask("ann", BEGIN + 11)
    [message] = unsent(core)
    core.heard(failed(message.verify.id), BEGIN + 11)

    assert core.remembered("ann", BEGIN + 11) is None
    assert [list(message.forget.ids) for message in unsent(core)] == [[old]]


def test_what_has_to_go_is_forgotten_together() -> None:
    """Ids are forgotten in as few messages as may be."""
    core = opened(max_tokens=5_000)
    core._forgotten.extend(range(MAX_FORGOTTEN + 1))

    assert [len(message.forget.ids) for message in unsent(core)] == [MAX_FORGOTTEN, 1]


def test_a_ping_goes_first() -> None:
    """Freshness does not wait behind a thousand questions."""
    core = opened()
    for number in range(10):
        core.ask(f"t{number}", BEGIN)
    core.ask("ann", BEGIN + 0.6)

    assert said(core)[0] == "ping"


def test_a_ping_without_a_pong_is_a_stalled_stream() -> None:
    """Whatever else is answered, it is proof of nothing."""
    core = opened(patience=5.0)
    core.ask("ann", BEGIN + 0.6)
    assert not core.is_stalled(BEGIN + 5.5)
    core.heard(verified(2, "ann"), BEGIN + 5.5)

    assert core.is_stalled(BEGIN + 5.6)
    core.lost()
    assert not core.is_stalled(BEGIN + 9)


def test_questions_without_any_answer_are_a_stalled_stream() -> None:
    """Many questions may take their time as long as answers go on coming."""
    core = opened(max_staleness=60.0, patience=5.0)
    first, second = asked(core, "ann", BEGIN), asked(core, "ben", BEGIN)
    core.heard(verified(second.id, "ben"), BEGIN + 4)
    assert not core.is_stalled(BEGIN + 8)
    assert core.is_stalled(BEGIN + 9)
    core.heard(verified(first.id, "ann"), BEGIN + 9)
    assert not core.is_stalled(BEGIN + 20)


def test_a_stream_without_ids_is_replaced() -> None:
    """An id is for one use; before they run out, the stream counts as stalled."""
    core = opened()
    core._last_id = 2**32 - 1

    assert core.is_stalled(BEGIN)


def test_messages_of_a_newer_service_are_ignored() -> None:
    """What this client does not know does it no harm."""
    core = opened()
    core.heard(pb.WatchTokensResponse(), BEGIN)
    core.heard(verified(99, "ann"), BEGIN)
    core.heard(failed(98), BEGIN)

    assert core.remembered("ann", BEGIN) is None
