"""The one place where grpc's exceptions become the client's own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, Protocol, cast

import grpc
from session_api.v1 import session_service_pb2 as pb
from session_api.v1.error_reason_pb2 import ErrorReason

from session_client import _errors as errors
from session_client._rich_status import ErrorDetails, error_details

BY_REASON: Final[dict[str, type[errors.SessionClientError]]] = {
    "INVALID_CREDENTIALS": errors.InvalidCredentials,
    "TOKEN_MISSING": errors.TokenMissing,
    "TOKEN_INVALID": errors.TokenInvalid,
    "TOKEN_EXPIRED": errors.TokenExpired,
    "SESSION_ENDED": errors.SessionEnded,
    "REFRESH_TOKEN_INVALID": errors.RefreshTokenInvalid,
    "REFRESH_TOKEN_REUSED": errors.RefreshTokenReused,
    "ADMIN_REQUIRED": errors.AdminRequired,
    "ROLE_REQUIRED": errors.RoleRequired,
    "SESSION_NOT_FOUND": errors.SessionNotFound,
    "USER_NOT_FOUND": errors.UserNotFound,
    "USERNAME_TAKEN": errors.UsernameTaken,
    "SESSION_LIMIT_REACHED": errors.SessionLimitReached,
    "TOO_MANY_ATTEMPTS": errors.TooManyAttempts,
    "OVERLOADED": errors.Overloaded,
    "INVALID_ARGUMENT": errors.InvalidArgument,
    "STORE_UNAVAILABLE": errors.ServiceUnavailable,
    "INTERNAL": errors.SessionClientError,
}

# For calls that failed before the service had a say, and for reasons newer than this client.
BY_CODE: Final[dict[str, type[errors.SessionClientError]]] = {
    "INVALID_ARGUMENT": errors.InvalidArgument,
    "NOT_FOUND": errors.NotFound,
    "RESOURCE_EXHAUSTED": errors.RateLimited,
    "UNAVAILABLE": errors.ServiceUnavailable,
    "DEADLINE_EXCEEDED": errors.DeadlineExceeded,
}

_REASON_PREFIX: Final = "ERROR_REASON_"
_REASONS: Final = {
    number: name.removeprefix(_REASON_PREFIX) for name, number in ErrorReason.items() if number
}
_CODES: Final[dict[int, str]] = {code.value[0]: code.name for code in grpc.StatusCode}


class FailedCall(Protocol):
    """What grpc's exceptions have in common, in both of its runtimes."""

    def code(self) -> grpc.StatusCode:
        """The status."""

    def details(self) -> str | None:
        """The message."""

    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None:
        """Where rich details are."""


class Translated:
    """Within it, a failed call raises the client's exceptions and nothing of grpc's."""

    __slots__ = ()

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raise in place of grpc's exception."""
        if isinstance(error, grpc.RpcError):
            raise failure_of(cast(FailedCall, error)) from error
        if isinstance(error, asyncio.CancelledError) and not task_is_cancelled():
            # grpc.aio cancels what is under way when its channel closes.
            raise errors.SessionClientError("the client was closed during the call", code="CANCELLED")


TRANSLATED: Final = Translated()


def failure_of(error: FailedCall) -> errors.SessionClientError:
    """The client's exception for a failed call."""
    code = error.code().name
    details = error_details(error.trailing_metadata() or ())
    kind = BY_REASON.get(details.reason) or BY_CODE.get(code, errors.SessionClientError)
    return _made(kind, error.details() or code, code, details)


def failure_of_check(failure: pb.CheckFailure) -> errors.SessionClientError:
    """The client's exception for one token of several: the one that VerifyToken would have raised."""
    code = _CODES.get(failure.code, "UNKNOWN")
    reason = _REASONS.get(failure.reason, "")
    kind = BY_REASON.get(reason) or BY_CODE.get(code, errors.SessionClientError)
    retry_after = failure.retry_delay.ToTimedelta() if failure.HasField("retry_delay") else None
    return _made(kind, failure.message or code, code, ErrorDetails(reason, retry_after=retry_after))


def _made(
    kind: type[errors.SessionClientError], message: str, code: str, details: ErrorDetails
) -> errors.SessionClientError:
    extra: dict[str, Any] = {}
    if issubclass(kind, errors.RetryLater):
        extra["retry_after"] = details.retry_after
    if issubclass(kind, errors.InvalidArgument):
        extra["violations"] = details.violations
    return kind(message, code=code, reason=details.reason, metadata=details.metadata, **extra)


def task_is_cancelled() -> bool:
    """Whether it is this task that was cancelled, and not only what it waits for."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
