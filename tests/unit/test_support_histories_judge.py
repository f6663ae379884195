"""The judge of histories: silent about what a faultless service could have answered, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.histories.calls import EVERYTHING, Call, Effect, Outcome
from tests.support.histories.judge import judge

SESSIONS = ("7/ada/s1", "7/ada/s2", "7/bob/s3")
BOUNDS = (0.0, 0.05, 1.0)
MOMENTS = st.floats(0, 3, allow_nan=False)
SPANS = st.floats(0, 0.4, allow_nan=False)
PARTS = st.floats(0, 1, allow_nan=False)


def check(outcome: Outcome, began: float, ended: float | None = None, **changes: object) -> Call:
    """A check of Ada's first token."""
    end = began + 0.01 if ended is None else ended
    call = Call(
        what="check", by="a", effect=Effect.CHECK, name="7/ada/s1/t1", began=began, ended=end, outcome=outcome
    )
    return replace(call, **changes)  # type: ignore[arg-type] # whatever a test changes


def made(name: str = "7/ada/s1/t1", began: float = 0.0, ended: float = 0.1) -> Call:
    """A token that was given out."""
    return Call(
        what="create",
        by="a",
        effect=Effect.MAKE,
        name=name,
        began=began,
        ended=ended,
        outcome=Outcome.DONE,
    )


def end(began: float, ended: float, name: str = "7/ada/s1", outcome: Outcome = Outcome.DONE) -> Call:
    """An end of Ada's first session."""
    return Call(
        what="logout", by="a", effect=Effect.END, name=name, began=began, ended=ended, outcome=outcome
    )


def roles(version: int, began: float, ended: float, outcome: Outcome = Outcome.DONE) -> Call:
    """A change of Ada's roles."""
    return Call(
        what="set roles",
        by="a",
        effect=Effect.SET_ROLES,
        name="7/ada",
        began=began,
        ended=ended,
        outcome=outcome,
        version=version,
    )


@pytest.mark.parametrize("bound", BOUNDS)
def test_an_accept_may_come_as_late_as_its_bound_and_no_later(bound: float) -> None:
    """What counts is the end's acknowledgement and the check's begin."""
    history = [made(), end(1.0, 1.1)]
    assert not judge([*history, check(Outcome.DONE, 1.099 + bound, bound=bound)])
    [violation] = judge([*history, check(Outcome.DONE, 1.101 + bound, bound=bound)])
    assert violation.because == history[1]


def test_an_end_without_an_answer_proves_nothing() -> None:
    """Accepted or refused, both may be right, as long after as may be."""
    history = [made(), end(1.0, 1.1, outcome=Outcome.UNKNOWN)]
    assert not judge([*history, check(Outcome.DONE, 2.0)])
    assert not judge([*history, check(Outcome.REFUSED, 2.0)])


def test_a_refusal_is_for_good() -> None:
    """Once refused, a token is not accepted again, whatever ended it."""
    history = [made(), end(1.0, 1.1, outcome=Outcome.UNKNOWN), check(Outcome.REFUSED, 2.0, bound=1.0)]
    assert len(judge([*history, check(Outcome.DONE, 2.5)])) == 1


def test_a_refusal_needs_an_end_that_began() -> None:
    """A token that nobody has begun to end before the check was over must be accepted."""
    assert judge([made(), check(Outcome.REFUSED, 0.9, 0.99), end(1.0, 1.1)])
    assert not judge([made(), check(Outcome.REFUSED, 0.9, 1.0), end(1.0, 1.1)])
    assert not judge([made(ended=0.95), check(Outcome.REFUSED, 0.9, 0.99)])


def test_the_end_of_all_concerns_sessions_that_had_begun() -> None:
    """A session whose creation overlaps with it may be in or out; one that begins later is in."""
    flush = end(1.0, 1.1, EVERYTHING)
    overlapping, later = made(began=0.9, ended=1.05), made(began=1.11, ended=1.2)
    for outcome in (Outcome.DONE, Outcome.REFUSED):
        assert not judge([flush, overlapping, check(outcome, 1.3)])
    assert not judge([flush, later, check(Outcome.DONE, 1.3)])
    assert judge([flush, later, check(Outcome.REFUSED, 1.3)])


def test_a_token_may_be_over_before_it_is_given_out() -> None:
    """What ends one token by its name does so whenever that was: an expiry is a moment of its own."""
    expiry = end(0.1, 0.11, "7/ada/s1/t1")
    assert not judge([made(began=0.2, ended=0.3), expiry, check(Outcome.REFUSED, 0.4)])
    assert judge([made(began=0.2, ended=0.3), expiry, check(Outcome.DONE, 0.4)])


def test_a_token_of_a_session_ends_with_it_though_it_was_made_later() -> None:
    """A refresh that overlaps with the end of its session brings nothing back."""
    history = [made(), made("7/ada/s1/t2", 0.9, 1.2), end(1.0, 1.1)]
    assert judge([*history, check(Outcome.DONE, 1.3, name="7/ada/s1/t2")])


def test_what_an_end_spares_is_alive() -> None:
    """The session that is kept is not ended; its neighbours are."""
    spared = replace(end(1.0, 1.1, "7/ada"), spares="7/ada/s1")
    other = made("7/ada/s2/t3")
    assert judge([made(), other, spared, check(Outcome.REFUSED, 1.3)])
    assert judge([made(), other, spared, check(Outcome.DONE, 1.3, name="7/ada/s2/t3")])


def test_names_are_compared_by_their_parts() -> None:
    """The end of session 1 is not that of session 10."""
    assert judge([made("7/ada/s10/t1"), end(1.0, 1.1), check(Outcome.REFUSED, 2.0, name="7/ada/s10/t1")])


def test_roles_may_be_as_old_as_the_bound() -> None:
    """What had been replaced longer ago is not answered."""
    history = [made(), roles(1, 1.0, 1.1), roles(2, 1.2, 1.3)]
    assert not judge([*history, check(Outcome.DONE, 1.34, bound=0.05, version=1)])
    assert judge([*history, check(Outcome.DONE, 1.36, bound=0.05, version=1)])
    assert not judge([*history, check(Outcome.DONE, 1.36, version=2)])


def test_roles_without_an_answer_may_come_late() -> None:
    """A change that was given up may be made after the one that followed it."""
    history = [made(), roles(1, 1.0, 1.1, Outcome.UNKNOWN), roles(2, 1.2, 1.3)]
    assert not judge([*history, check(Outcome.DONE, 2.0, version=1)])


def test_nonsense_is_never_right() -> None:
    """INTERNAL and the like break the promise, whatever call it is."""
    assert judge([made(), check(Outcome.BROKEN, 1.0)])
    assert judge([made(), end(1.0, 1.1, outcome=Outcome.BROKEN)])


def test_no_answer_is_no_breach() -> None:
    """UNKNOWN says nothing."""
    assert not judge([made(), check(Outcome.UNKNOWN, 0.5), end(1.0, 1.1), check(Outcome.UNKNOWN, 2.0)])


@dataclass
class Truth:
    """What a faultless service did: when each session began and ended, by the one who knows."""

    calls: list[Call] = field(default_factory=list)
    alive_from: dict[str, float] = field(default_factory=dict)
    alive_until: dict[str, float] = field(default_factory=dict)

    def is_alive(self, session: str, moment: float) -> bool:
        """Whether a session is alive at a moment."""
        begun = self.alive_from.get(session, inf) <= moment
        return begun and moment < self.alive_until.get(session, inf)


@st.composite
def truths(draw: st.DrawFn) -> Truth:
    """A faultless history: each effect at a moment within its call, each answer from within its bound."""
    truth = Truth()
    for session in SESSIONS:
        began, span = draw(MOMENTS), draw(SPANS)
        truth.calls.append(made(f"{session}/t1", began, began + span))
        truth.alive_from[session] = began + span * draw(PARTS)
    for name in draw(st.lists(st.sampled_from([*SESSIONS, "7/ada", EVERYTHING]), max_size=4)):
        _end(draw, truth, name)
    for session in draw(st.lists(st.sampled_from(SESSIONS), max_size=12)):
        _check(draw, truth, session)
    return truth


def _end(draw: st.DrawFn, truth: Truth, name: str) -> None:
    began, span = draw(MOMENTS), draw(SPANS)
    moment = began + span * draw(PARTS)
    lost = draw(st.booleans())
    ended = draw(st.floats(began, began + span)) if lost else began + span
    truth.calls.append(end(began, ended, name, Outcome.UNKNOWN if lost else Outcome.DONE))
    for session in SESSIONS:
        if (name == EVERYTHING or session.startswith(name)) and truth.alive_from[session] <= moment:
            truth.alive_until[session] = min(truth.alive_until.get(session, inf), moment)


def _check(draw: st.DrawFn, truth: Truth, session: str) -> None:
    made_at = next(call.ended for call in truth.calls if call.name == f"{session}/t1")
    began, span, bound = made_at + draw(MOMENTS), draw(SPANS), draw(st.sampled_from(BOUNDS))
    remembered = began + span - (bound + span) * draw(PARTS)
    asked = began + span * draw(PARTS)
    accepted = truth.is_alive(session, remembered) or truth.is_alive(session, asked)
    outcome = Outcome.DONE if accepted else Outcome.REFUSED
    truth.calls.append(check(outcome, began, began + span, name=f"{session}/t1", bound=bound))


@given(truths())
def test_a_faultless_history_is_not_blamed(truth: Truth) -> None:
    """Whatever overlaps with whatever, and whatever answers were lost."""
    assert judge(truth.calls) == []


@given(truths(), st.sampled_from(SESSIONS), st.sampled_from(BOUNDS), st.floats(0.001, 1))
def test_an_accept_too_late_is_found_in_any_history(
    truth: Truth, session: str, bound: float, late: float
) -> None:
    """An accept is added that began more than its bound after everything was acknowledged to be over."""
    over = max(call.ended for call in truth.calls)
    flush = end(over, over + 0.1, EVERYTHING)
    began = flush.ended + bound + late
    wrong = check(Outcome.DONE, began, began, name=f"{session}/t1", bound=bound)
    assert [violation.call for violation in judge([*truth.calls, flush, wrong])] == [wrong]


@given(truths(), st.sampled_from(BOUNDS), PARTS)
def test_a_refusal_of_what_lives_is_found_in_any_history(truth: Truth, bound: float, moment: float) -> None:
    """A session is added that nothing can have ended, and refused once."""
    fresh = made("7/eve/s9/t1", 9, 9.1)
    wrong = check(Outcome.REFUSED, 10 + moment, name="7/eve/s9/t1", bound=bound)
    answered = [call for call in truth.calls if call.outcome is not Outcome.UNKNOWN]
    assert wrong in [violation.call for violation in judge([*answered, fresh, wrong])]
