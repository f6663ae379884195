"""The error table of the API: every domain error has its status, and only they do."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from session_api.v1 import error_reason_pb2

from session_service.domain import errors
from session_service.rpc.status import CODES, ERROR_DOMAIN, status_of

SECRET = "redis://:hunter2@10.0.0.1"


def _all_errors(root: type[errors.SessionServiceError]) -> set[type[errors.SessionServiceError]]:
    below = set(root.__subclasses__())
    return below.union(*map(_all_errors, below)) if below else below


ABSTRACT = {errors.RetryLater}
TABLE: dict[type[errors.SessionServiceError], tuple[str, str]] = {
    errors.InvalidCredentials: ("UNAUTHENTICATED", "INVALID_CREDENTIALS"),
    errors.TokenMissing: ("UNAUTHENTICATED", "TOKEN_MISSING"),
    errors.TokenInvalid: ("UNAUTHENTICATED", "TOKEN_INVALID"),
    errors.TokenExpired: ("UNAUTHENTICATED", "TOKEN_EXPIRED"),
    errors.SessionEnded: ("UNAUTHENTICATED", "SESSION_ENDED"),
    errors.RefreshTokenInvalid: ("UNAUTHENTICATED", "REFRESH_TOKEN_INVALID"),
    errors.RefreshTokenReused: ("UNAUTHENTICATED", "REFRESH_TOKEN_REUSED"),
    errors.AdminRequired: ("PERMISSION_DENIED", "ADMIN_REQUIRED"),
    errors.AdminCredentialMissing: ("UNAUTHENTICATED", "ADMIN_REQUIRED"),
    errors.RoleRequired: ("PERMISSION_DENIED", "ROLE_REQUIRED"),
    errors.SessionNotFound: ("NOT_FOUND", "SESSION_NOT_FOUND"),
    errors.UserNotFound: ("NOT_FOUND", "USER_NOT_FOUND"),
    errors.UsernameTaken: ("ALREADY_EXISTS", "USERNAME_TAKEN"),
    errors.SessionLimitReached: ("FAILED_PRECONDITION", "SESSION_LIMIT_REACHED"),
    errors.TooManyAttempts: ("RESOURCE_EXHAUSTED", "TOO_MANY_ATTEMPTS"),
    errors.Overloaded: ("RESOURCE_EXHAUSTED", "OVERLOADED"),
    errors.InvalidArgument: ("INVALID_ARGUMENT", "INVALID_ARGUMENT"),
    errors.StoreUnavailable: ("UNAVAILABLE", "STORE_UNAVAILABLE"),
}


def _make(kind: type[errors.SessionServiceError]) -> errors.SessionServiceError:
    if issubclass(kind, errors.TooManyAttempts):
        return kind(retry_after=1.5)
    if issubclass(kind, errors.InvalidArgument):
        return kind(errors.FieldViolation("username", "is required"))
    return kind()


def _details(status: status_pb2.Status) -> dict[str, object]:
    kinds: tuple[Any, ...] = (
        error_details_pb2.ErrorInfo,
        error_details_pb2.RetryInfo,
        error_details_pb2.BadRequest,
    )
    found: dict[str, object] = {}
    for packed in status.details:
        for kind in kinds:
            message = kind()
            if packed.Unpack(message):
                found[message.DESCRIPTOR.name] = message
    return found


def test_no_error_is_left_out() -> None:
    """A new domain error without a status fails here."""
    assert _all_errors(errors.SessionServiceError) - ABSTRACT == set(CODES) == set(TABLE)


def test_reasons_are_those_of_the_api() -> None:
    """Reasons and the enum ErrorReason cover each other."""
    names = {name.removeprefix("ERROR_REASON_") for name in error_reason_pb2.ErrorReason.keys()}  # noqa: SIM118
    reasons = {kind.reason for kind in CODES} | {errors.SessionServiceError.reason}
    assert reasons == names - {"UNSPECIFIED"}


@pytest.mark.parametrize("kind", TABLE)
def test_an_error_has_its_code_reason_and_details(kind: type[errors.SessionServiceError]) -> None:
    """Code and reason are the table's; waiting and wrong fields are told where there are any."""
    error = _make(kind)
    status = status_of(error)
    assert (status.code.name, status.reason) == TABLE[kind]
    [(key, raw)] = status.trailers
    assert key == "grpc-status-details-bin"
    sent = status_pb2.Status.FromString(raw)
    assert (sent.code, sent.message) == (status.code.value[0], status.message)
    details = _details(sent)
    info = details["ErrorInfo"]
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert (info.reason, info.domain) == (TABLE[kind][1], ERROR_DOMAIN)
    assert ("RetryInfo" in details) == isinstance(error, errors.RetryLater)
    assert ("BadRequest" in details) == isinstance(error, errors.InvalidArgument)


def test_waiting_is_told_to_the_millisecond() -> None:
    """RetryInfo carries the error's own span."""
    sent = status_pb2.Status.FromString(status_of(errors.TooManyAttempts(1.25)).trailers[0][1])
    retry = _details(sent)["RetryInfo"]
    assert isinstance(retry, error_details_pb2.RetryInfo)
    assert retry.retry_delay.ToMilliseconds() == 1250


@pytest.mark.parametrize("error", [ValueError(SECRET), KeyError(SECRET), errors.SessionServiceError()])
def test_what_is_unforeseen_is_internal_and_says_nothing(error: Exception) -> None:
    """An unknown error keeps its text to itself (gRPC would send it)."""
    status = status_of(error)
    assert (status.code, status.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "hunter2" not in status.message + repr(status.trailers)
