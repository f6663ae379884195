"""What both verifiers have in common; their limits and closing are tested with them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from session_api.v1 import error_reason_pb2
from session_api.v1 import session_service_pb2 as pb
from session_client import Identity, Overloaded, TokenExpired
from session_client._verifying import answered, check_limits

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
ANN = Identity("s1", "u1", "ann", (), NOON, NOON, NOON)


def test_the_widest_limits() -> None:
    """A minute of staleness is the most that is allowed, one token the least."""
    check_limits(60.0, 1, 0.001)
    check_limits(0.001, 10**7, 10**9)


@pytest.mark.parametrize("outcome", [ANN, None])
def test_an_outcome_that_is_no_failure(outcome: Identity | None) -> None:
    """An identity is one, and nothing is nothing."""
    assert answered(outcome) is outcome


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (16, error_reason_pb2.ERROR_REASON_TOKEN_EXPIRED, TokenExpired),
        (8, error_reason_pb2.ERROR_REASON_OVERLOADED, Overloaded),
    ],
)
def test_each_who_waited_gets_an_exception_of_their_own(
    code: int, reason: error_reason_pb2.ErrorReason.ValueType, kind: type[Exception]
) -> None:
    """It is of the class that a call would raise, and not one object that is raised in many places."""
    failure = pb.CheckFailure(code=code, reason=reason, message="no")
    raised = []
    for _ in range(2):
        with pytest.raises(kind, match="no") as caught:
            answered(failure)
        raised.append(caught.value)
    assert raised[0] is not raised[1]
