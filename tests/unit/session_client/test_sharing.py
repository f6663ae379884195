"""The rule by which checks share calls: whatever happens, none is forgotten and all are strict."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from session_api.v1 import session_service_pb2 as pb
from session_api.v1.error_reason_pb2 import ErrorReason
from session_client import (
    DeadlineExceeded,
    Identity,
    InvalidArgument,
    RetryLater,
    ServiceUnavailable,
    SessionClientError,
)
from session_client import _sharing as sharing
from session_client._failures import BY_REASON, failure_of
from session_client._rich_status import details_trailer
from session_client._sharing import MAX_OUT, Refused, Sharing, answered, outcomes

STEPS = 400


@dataclass(eq=False)
class Check:
    """A check, when it began, and what became of it."""

    token: str
    began: int
    ended: bool = False


@dataclass(eq=False)
class Call:
    """A call that is out, since when."""

    sent: int
    checks: list[Check]
    counted: bool = True


@dataclass
class Walk:
    """Callers and a service around the rule; time is the number of steps."""

    random: random.Random
    rule: Sharing[Check] = field(default_factory=Sharing)
    now: int = 0
    checks: list[Check] = field(default_factory=list)
    out: list[Call] = field(default_factory=list)

    def arrive(self) -> None:
        """A check begins."""
        check = Check("t" * self.random.choice([1, 1, 300, 8_000]), self.now)
        self.checks.append(check)
        if self.rule.begin():
            assert not self.rule.waiting
            self.out.append(Call(self.now, [check]))
            return
        if not self.rule.has_room(check.token) and not self.send():
            self.out.append(Call(self.now, [check], counted=False))
            return
        self.rule.add(check)

    def burst(self) -> None:
        """Many begin."""
        for _ in range(self.random.randrange(400)):
            self.arrive()

    def send(self) -> bool:
        """What waits leaves, if one more call may."""
        if not self.rule.may_send():
            return False
        self.out.append(Call(self.now, self.rule.take()))
        return True

    def late(self) -> None:
        """The time is up for what waits."""
        if self.rule.waiting and not self.send():
            self.out += [Call(self.now, [check], counted=False) for check in self.rule.take()]

    def leave(self) -> None:
        """A caller is cancelled, or its time is over."""
        left = [check for check in self.checks if not check.ended]
        if left:
            check = self.random.choice(left)
            check.ended = True
            if check in self.rule.waiting:
                self.rule.leave(check)

    def answer(self) -> None:
        """A call returns, whichever, with an answer or without one."""
        if not self.out:
            return
        call = self.out.pop(self.random.randrange(len(self.out)))
        for check in call.checks:
            assert call.sent >= check.began
            check.ended = True
        if call.counted:
            self.rule.returned()
        if self.rule.waiting:
            self.send()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_everybody_is_answered_by_a_call_that_left_later(seed: int) -> None:
    """None from a call sent before it asked, none forgotten, no call too large, never too many out."""
    walk = Walk(random.Random(seed))  # noqa: S311 - nothing secret
    steps: list[Callable[[], None]] = [walk.arrive] * 8 + [walk.answer] * 5 + [walk.late, walk.leave]
    for _ in range(STEPS):
        walk.now += 1
        walk.random.choice([*steps, walk.burst] if walk.now % 10 == 0 else steps)()
        assert sum(call.counted for call in walk.out) <= MAX_OUT
        for call in walk.out:
            request = pb.BatchVerifyTokensRequest(tokens=[check.token for check in call.checks])
            assert len(request.tokens) <= 256
            assert request.ByteSize() <= 256 * 1024
        assert walk.out or not walk.rule.waiting
    while walk.out:
        walk.answer()
    assert all(check.ended for check in walk.checks)
    assert walk.rule.begin()


class Failed(grpc.RpcError):
    """A call's failure, as grpc raises it."""

    def __init__(self, code: grpc.StatusCode, reason: str = "", message: str = "why") -> None:
        super().__init__(message)
        number: int = code.value[0]
        self._said = code, message, (details_trailer(number, message, reason, {}, None),) if reason else ()

    def code(self) -> grpc.StatusCode:
        """The status."""
        return self._said[0]

    def details(self) -> str:
        """The message."""
        return self._said[1]

    def trailing_metadata(self) -> Any:
        """Where the reason is."""
        return self._said[2]


@pytest.mark.parametrize("reason", sorted(BY_REASON))
@pytest.mark.parametrize("seconds", [None, 7.25])
def test_a_failure_of_one_token_is_that_of_a_single_check(reason: str, seconds: float | None) -> None:
    """The same class, code, reason, text, facts and time to wait, whatever the reason."""
    told = pb.CheckFailure(code=16, reason=ErrorReason.Value(f"ERROR_REASON_{reason}"), message="why")
    if seconds is not None:
        told.retry_delay.FromMilliseconds(round(seconds * 1000))
    shared = raised(
        outcomes(["t"], pb.BatchVerifyTokensResponse(results=[pb.TokenResult(failure=told)]))["t"]
    )
    single = Failed(grpc.StatusCode.UNAUTHENTICATED, reason)
    expected = failure_of(single)

    assert type(shared) is type(expected)
    assert (shared.code, shared.reason, str(shared), shared.metadata) == (
        (expected.code, expected.reason, str(expected), expected.metadata)
    )
    if isinstance(shared, RetryLater):
        assert (shared.retry_after and shared.retry_after.total_seconds()) == seconds
    if isinstance(shared, InvalidArgument):
        assert shared.violations == ()


def raised(outcome: sharing.Outcome) -> SessionClientError:
    """What a caller gets."""
    with pytest.raises(SessionClientError) as caught:
        answered(outcome)
    return caught.value


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
@pytest.mark.parametrize("reason", ["", "OVERLOADED", "TOKEN_MISSING"])
def test_what_a_failed_call_means_for_its_checks(code: grpc.StatusCode, reason: str) -> None:
    """A service that is away is so for all; what is wrong with a batch says nothing of one of its tokens."""
    rule: Sharing[Check] = Sharing()
    error = Failed(code, reason)
    outcome = rule.failed(error, asked=2)

    away = code.name in {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"}
    refused = code is grpc.StatusCode.RESOURCE_EXHAUSTED and bool(reason)
    assert outcome == (Refused(error) if away or refused else None)
    assert rule.is_on == (code.name not in {"UNIMPLEMENTED", "PERMISSION_DENIED", "UNAUTHENTICATED"})
    assert rule.failed(error, asked=1) == Refused(error)


def test_each_caller_has_an_exception_of_its_own() -> None:
    """Raised in several tasks, one exception would gather the traces of all."""
    for outcome in (Refused(Failed(grpc.StatusCode.UNAVAILABLE)), pb.CheckFailure(code=14)):
        first, second = raised(outcome), raised(outcome)
        assert type(first) is type(second) is ServiceUnavailable
        assert first is not second
    assert isinstance(raised(sharing.TOO_LATE), DeadlineExceeded)
    assert raised(sharing.CLOSED).code == "CANCELLED"


def test_an_answer_that_does_not_fit_is_none() -> None:
    """Where the service tells of fewer tokens than were asked, each is asked for alone."""
    known = pb.TokenResult(verified=pb.VerifyTokenResponse(user_id="u"))
    assert outcomes(["a", "b"], pb.BatchVerifyTokensResponse(results=[known])) == {"a": None, "b": None}
    [identity] = outcomes(["a"], pb.BatchVerifyTokensResponse(results=[known])).values()
    assert isinstance(identity, Identity)
    assert answered(identity) is identity
    assert answered(None) is None
