"""The one place that maps errors to gRPC: status code, message and rich details.

The details follow google.rpc (AIP-193): ``ErrorInfo`` always; ``BadRequest`` naming each wrong
field; ``RetryInfo`` where waiting helps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from session_service.domain import errors
from session_service.rpc.refusals import MalformedError, RefusedError

ERROR_DOMAIN: Final = "session.v1"
DETAILS_KEY: Final = "grpc-status-details-bin"

CODES: Final[dict[type[errors.SessionServiceError], grpc.StatusCode]] = {
    errors.InvalidCredentials: grpc.StatusCode.UNAUTHENTICATED,
    errors.TokenMissing: grpc.StatusCode.UNAUTHENTICATED,
    errors.TokenInvalid: grpc.StatusCode.UNAUTHENTICATED,
    errors.TokenExpired: grpc.StatusCode.UNAUTHENTICATED,
    errors.SessionEnded: grpc.StatusCode.UNAUTHENTICATED,
    errors.RefreshTokenInvalid: grpc.StatusCode.UNAUTHENTICATED,
    errors.RefreshTokenReused: grpc.StatusCode.UNAUTHENTICATED,
    errors.AdminRequired: grpc.StatusCode.PERMISSION_DENIED,
    errors.AdminCredentialMissing: grpc.StatusCode.UNAUTHENTICATED,
    errors.RoleRequired: grpc.StatusCode.PERMISSION_DENIED,
    errors.SessionNotFound: grpc.StatusCode.NOT_FOUND,
    errors.UserNotFound: grpc.StatusCode.NOT_FOUND,
    errors.UsernameTaken: grpc.StatusCode.ALREADY_EXISTS,
    errors.SessionLimitReached: grpc.StatusCode.FAILED_PRECONDITION,
    errors.TooManyAttempts: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    errors.StoreUnavailable: grpc.StatusCode.UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class RpcStatus:
    """What a failed call answers with."""

    code: grpc.StatusCode
    reason: str
    message: str
    trailers: tuple[tuple[str, bytes], ...]


def status_of(error: Exception) -> RpcStatus:
    """The status of an error; anything unforeseen is INTERNAL with a fixed text."""
    if isinstance(error, MalformedError):
        error = errors.InvalidArgument(errors.FieldViolation(error.field, str(error)))
    elif isinstance(error, RefusedError):
        return RpcStatus(error.code, error.code.name, str(error), ())
    known, code = coded(error)
    message = str(known)
    number: int = code.value[0]
    status = status_pb2.Status(code=number, message=message, details=_details(known))
    trailers = ((DETAILS_KEY, status.SerializeToString()),)
    return RpcStatus(code, known.reason, message, trailers)


def coded(error: Exception) -> tuple[errors.SessionServiceError, grpc.StatusCode]:
    """What a caller may learn of an error, and its code."""
    known = error if isinstance(error, errors.SessionServiceError) else errors.SessionServiceError()
    return known, CODES.get(type(known), grpc.StatusCode.INTERNAL)


def _details(error: errors.SessionServiceError) -> list[Any]:
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN, metadata=dict(error.metadata))
    ]
    if isinstance(error, errors.RetryLater):
        delay = Duration()
        delay.FromMilliseconds(round(error.retry_after * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    if isinstance(error, errors.InvalidArgument):
        details.append(_bad_request(error))
    return [_packed(detail) for detail in details]


def _bad_request(error: errors.InvalidArgument) -> error_details_pb2.BadRequest:
    violations = [
        error_details_pb2.BadRequest.FieldViolation(field=one.field, description=one.description)
        for one in error.violations
    ]
    return error_details_pb2.BadRequest(field_violations=violations)


def _packed(message: Message) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed
