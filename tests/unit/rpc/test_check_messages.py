"""Limits of requests for checks, and what is told of one token among several."""

from __future__ import annotations

import logging

import pytest
from google.protobuf.duration_pb2 import Duration
from session_api.v1 import session_service_pb2 as pb
from session_api.v1.error_reason_pb2 import ErrorReason

from session_service.domain import errors
from session_service.domain.models import Identity
from session_service.rpc.check_messages import batch_message, check_failure, max_staleness_of, tokens_of
from session_service.rpc.conversions import verified_message
from session_service.rpc.status import CODES, status_of

SECRET = "redis://:hunter2@10.0.0.1"
IDENTITY = Identity("u-1", "s-1", "ada", ("editor",), 1_800_000_000, 1_799_999_999_000, 1_800_009_000_000)


def _request(seconds: int, nanos: int = 0) -> pb.VerifyTokenRequest:
    return pb.VerifyTokenRequest(max_staleness=Duration(seconds=seconds, nanos=nanos))


@pytest.mark.parametrize(
    ("request_", "seconds"),
    [
        (pb.VerifyTokenRequest(), 0.0),
        (_request(0), 0.0),
        (_request(0, 50_000_000), 0.05),
        (_request(1, 500_000_000), 1.5),
        (_request(60), 60.0),
    ],
)
def test_staleness_is_seconds(request_: pb.VerifyTokenRequest, seconds: float) -> None:
    """A duration from 0 to 60 s is taken; none is the strict check."""
    assert max_staleness_of(request_) == seconds


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [(-1, 0), (0, -1), (60, 1), (61, 0), (1, -500_000_000), (0, 2_000_000_000), (2**63 - 1, 0)],
)
def test_any_other_staleness_is_refused_by_name(seconds: int, nanos: int) -> None:
    """Negative, over a minute, or no duration at all: INVALID_ARGUMENT names the field and the limit."""
    with pytest.raises(errors.InvalidArgument) as refused:
        max_staleness_of(_request(seconds, nanos))
    assert refused.value.violations == (errors.FieldViolation("max_staleness", "must be 0 to 60 s"),)


@pytest.mark.parametrize("count", [1, 256])
def test_so_many_tokens_are_taken(count: int) -> None:
    """Up to 256, as they are; an empty one is left to the check."""
    tokens = [""] * count
    assert tokens_of(pb.BatchVerifyTokensRequest(tokens=tokens)) == tokens


@pytest.mark.parametrize("count", [0, 257])
def test_another_number_of_tokens_is_refused_by_name(count: int) -> None:
    """None, or more than 256: INVALID_ARGUMENT names the field and the limit."""
    with pytest.raises(errors.InvalidArgument) as refused:
        tokens_of(pb.BatchVerifyTokensRequest(tokens=[""] * count))
    assert refused.value.violations == (errors.FieldViolation("tokens", "must be 1 to 256 tokens"),)


@pytest.mark.parametrize("kind", CODES, ids=lambda kind: kind.__name__)
def test_a_failure_says_what_a_status_would(kind: type[errors.SessionServiceError]) -> None:
    """Code, reason, text and delay are those of a call that fails with the same error."""
    error: errors.SessionServiceError
    match kind:
        case errors.TooManyAttempts | errors.Overloaded | errors.StoreUnavailable:
            error = kind(retry_after=7.25)
        case errors.InvalidArgument:
            error = kind(errors.FieldViolation("token", "is wrong"))
        case _:
            error = kind()
    status, failure = status_of(error), check_failure(error)
    assert failure.code == status.code.value[0]
    assert ErrorReason.Name(failure.reason) == f"ERROR_REASON_{status.reason}"
    assert failure.message == status.message
    assert failure.HasField("retry_delay") == isinstance(error, errors.RetryLater)
    assert failure.retry_delay.ToMilliseconds() in {0, 7250}


def test_a_mistake_of_ours_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    """What nobody foresaw is INTERNAL with a fixed text; the log has the cause."""
    with caplog.at_level(logging.ERROR):
        failure = check_failure(RuntimeError(SECRET))
    assert (failure.code, failure.reason) == (13, ErrorReason.ERROR_REASON_INTERNAL)
    assert failure.message == "internal error"
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_a_refusal_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Bad tokens come from strangers: they write no log."""
    with caplog.at_level(logging.DEBUG):
        check_failure(errors.TokenInvalid())
    assert not caplog.records


def test_a_batch_has_a_result_for_each_answer() -> None:
    """Identities and failures, in order; what one says is what VerifyToken would have said."""
    message = batch_message([IDENTITY, errors.SessionEnded(), IDENTITY])
    assert [each.WhichOneof("result") for each in message.results] == ["verified", "failure", "verified"]
    assert message.results[0].verified == verified_message(IDENTITY)
    assert message.results[1].failure == check_failure(errors.SessionEnded())
