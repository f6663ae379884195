"""What requests for checks may ask for, and how the outcome for one token among several is told."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

import grpc
from session_api.v1 import session_service_pb2 as pb
from session_api.v1.error_reason_pb2 import ErrorReason

from session_service.domain.errors import FieldViolation, InvalidArgument, RetryLater
from session_service.domain.models import Identity
from session_service.rpc.conversions import verified_bytes
from session_service.rpc.status import coded

MAX_TOKENS: Final = 256
MAX_STALENESS_SECONDS: Final = 60

_WHOLE_SECOND: Final = 1_000_000_000

log = logging.getLogger(__name__)


def tokens_of(request: pb.BatchVerifyTokensRequest) -> list[str]:
    """The tokens to be checked.

    Raises:
        InvalidArgument: there are none, or too many.
    """
    if not 1 <= len(request.tokens) <= MAX_TOKENS:
        raise InvalidArgument(FieldViolation("tokens", f"must be 1 to {MAX_TOKENS} tokens"))
    return list(request.tokens)


def max_staleness_of(request: pb.VerifyTokenRequest) -> float:
    """Seconds by which the answer may be out of date; 0 where nothing is said.

    Raises:
        InvalidArgument: it is negative, too long, or no duration.
    """
    if not request.HasField("max_staleness"):
        return 0.0
    duration = request.max_staleness
    seconds = duration.seconds + duration.nanos / _WHOLE_SECOND
    if not 0 <= seconds <= MAX_STALENESS_SECONDS or not 0 <= duration.nanos < _WHOLE_SECOND:
        raise InvalidArgument(FieldViolation("max_staleness", f"must be 0 to {MAX_STALENESS_SECONDS} s"))
    return seconds


def batch_message(answers: Iterable[Identity | Exception]) -> pb.BatchVerifyTokensResponse:
    """The answer to a batch, a result for each token."""
    message = pb.BatchVerifyTokensResponse()
    for answer in answers:
        result = message.results.add()
        if isinstance(answer, Identity):
            # Parsed from what is remembered, which costs a third of setting the fields.
            result.verified.MergeFromString(verified_bytes(answer))
        else:
            result.failure.CopyFrom(check_failure(answer))
    return message


def check_failure(error: Exception) -> pb.CheckFailure:
    """Why a check failed, as the status of a call with this error would say it; logged if unforeseen."""
    known, code = coded(error)
    if code is grpc.StatusCode.INTERNAL:
        log.error("a token could not be checked", exc_info=error)
    number: int = code.value[0]
    reason = ErrorReason.Value(f"ERROR_REASON_{known.reason}")
    message = pb.CheckFailure(code=number, reason=reason, message=str(known))
    if isinstance(known, RetryLater):
        message.retry_delay.FromMilliseconds(round(known.retry_after * 1000))
    return message
