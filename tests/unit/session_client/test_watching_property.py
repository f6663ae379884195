"""Whatever happens in whatever order, the verifier's core accepts nothing that it may not.

Long walks by chance, each from a seed: hypothesis's state machines try many short ones, and what goes wrong
here needs a stream in use, then several accidents in a row.
"""

from __future__ import annotations

import random
from collections import deque
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from session_client._results import Identity
from session_client._watching import Question, Watching

from tests.support.watching_model import ModelService

if TYPE_CHECKING:
    from collections.abc import Callable

    from session_client._watching import Outcome

MAX_STALENESS = 1.0
MAX_TOKENS = 3
TOKENS = 4
LIVES = [0.5, 2.0, 10.0, 1800.0]
STEPS = 300


class Answer:
    """What waits for a question: the moments at which its waiters' calls began."""

    def __init__(self) -> None:
        self.began: list[float] = []
        self.outcomes: list[Outcome] = []

    def set_result(self, result: Outcome, /) -> None:
        """Note the outcome."""
        self.outcomes.append(result)


class Walk:
    """Callers, the core, and a model of the service, with everything between them as late as it comes."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - nothing secret
        self.service = ModelService()
        self.tokens: list[str] = []
        self.answers: list[tuple[Answer, str]] = []
        self.core: Watching[Answer] = Watching(
            max_staleness=MAX_STALENESS,
            max_tokens=MAX_TOKENS,
            touch_interval=3.0,
            patience=2.0,
            new_answer=Answer,
        )
        # Step → how often it is taken.
        self.steps: dict[Callable[[], None], float] = {
            self.wait: 8,
            self.check: 12,
            self.go_out: 12,
            self.answer: 8,
            self.tell_changes: 2,
            self.come_back: 12,
            self.log_in: 1,
            self.end: 2,
            self.catch_up: 1,
            self.lose_the_stream: 0.3,
            self.open_a_stream: 3,
            self.give_up: 1,
        }

    def go(self, steps: int) -> None:
        """Walk, and look after each step that all is well."""
        for _ in range(TOKENS):
            self.log_in()
        trace: deque[str] = deque(maxlen=40)
        for step in self.random.choices(list(self.steps), list(self.steps.values()), k=steps):
            trace.append(step.__name__)
            try:
                step()
                self.look()
            except AssertionError as error:
                raise AssertionError(f"{error}; at {self.service.now:.2f} after {' '.join(trace)}") from error

    def wait(self) -> None:
        """Time passes."""
        self.service.now += self.random.choice([0.01, 0.05, 0.2, 0.3, 0.6, 1.1])

    def log_in(self) -> None:
        """A new session is used in place of another, which may live on."""
        token = f"token{len(self.service.tokens)}"
        self.service.log_in(token, self.random.choice(LIVES))
        self.tokens = [*self.tokens[-TOKENS + 1 :], token]

    def end(self) -> None:
        """A session ends."""
        self.service.end(self.random.choice(self.tokens))

    def check(self) -> None:
        """A caller checks a token: an accept must be right, a question is waited for."""
        token, now = self.random.choice(self.tokens), self.service.now
        known = self.core.remembered(token, now) or self.core.ask(token, now)
        if isinstance(known, Identity):
            self.see_that_it_may_be_accepted(known, token)
        elif isinstance(known, Question):
            assert not known.answer.outcomes, "a question to wait for has been answered before"
            if not known.answer.began:
                self.answers.append((known.answer, token))
            known.answer.began.append(now)

    def go_out(self) -> None:
        """The service takes a message."""
        if (request := self.core.next_message()) is not None:
            self.service.serve(request)

    def answer(self) -> None:
        """The service answers a check, not necessarily the first."""
        self.service.answer(first=self.random.random() < 0.7)

    def tell_changes(self) -> None:
        """The service hears of changes, perhaps before it has answered."""
        self.service.tell_changes()

    def come_back(self) -> None:
        """The client takes a message."""
        if self.service.to_client:
            self.core.heard(self.service.to_client.popleft(), self.service.now)

    def catch_up(self) -> None:
        """Everything that is on its way arrives; both sides then agree."""
        while self.core.has_unsent or self.service.is_behind:
            for step in (self.go_out, self.answer, self.tell_changes, *[self.come_back] * 3):
                step()
        remembered = {entry.id for entry in self.core._entries.values()}
        assert remembered == self.service.watched.keys(), "both sides watch the same"
        assert not self.core._questions, "a question is under way for ever"

    def lose_the_stream(self) -> None:
        """The stream ends; another opens later."""
        self.core.lost()
        self.service.reset()

    def open_a_stream(self) -> None:
        """The next stream opens."""
        if not self.core.is_open:
            self.core.opened(self.service.now)

    def give_up(self) -> None:
        """A stream that does not answer is taken for dead."""
        if self.core.is_stalled(self.service.now):
            self.lose_the_stream()

    def see_that_it_may_be_accepted(self, identity: Identity, token: str) -> None:
        """An accept is of this very token, whose session had not ended too long ago."""
        now = self.service.now
        assert identity.user_id == token, "another's identity"
        assert self.service.may_be_accepted(token, now, MAX_STALENESS), f"{token} ended long ago"
        assert now < self.service.tokens[token].expires_at, f"{token} is expired"

    def look(self) -> None:
        """See that all is well."""
        for token in self.tokens:
            # A copy of what `remembered` does would not do; so what is marked as used is more than was.
            if (identity := self.core.remembered(token, self.service.now)) is not None:
                self.see_that_it_may_be_accepted(identity, token)
        entries, ids = self.core._entries, self.core._memory._tokens
        assert len(entries) == len(ids) <= MAX_TOKENS, "too many remembered"
        assert len(self.core._questions) <= MAX_TOKENS, "too many asked"
        assert len(set(self.service.forgotten)) == len(self.service.forgotten), "forgotten twice"
        self._look_at_answers()

    def _look_at_answers(self) -> None:
        under_way = {question.answer for question in self.core._questions.values()}
        for answer, token in self.answers:
            assert len(answer.outcomes) == (answer not in under_way), "a question has one outcome"
            if any(isinstance(outcome, Identity) for outcome in answer.outcomes):
                may = [self.service.may_be_accepted(token, began, MAX_STALENESS) for began in answer.began]
                assert all(may), f"an answer for {token} is too old for who waited"
        self.answers = [one for one in self.answers if not one[0].outcomes]


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_nothing_is_accepted_that_may_not_be(seed: int) -> None:
    """No accept past expiry, or of a session that ended longer ago than the bound; nothing grows or leaks."""
    Walk(seed).go(STEPS)
