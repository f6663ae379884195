"""Why a call failed. The tree is drawn in the package's docstring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta


class SessionClientError(Exception):
    """Root of all failures of a call; itself raised for those that have no class of their own.

    ``str()`` is for people and may change at any time; programs look at the class.

    Args:
        message: what went wrong, without a secret.
        code: name of the gRPC status code, such as ``"INTERNAL"``; empty where no call was made.
        reason: the service's own reason, such as ``"TOKEN_EXPIRED"``; empty where the call never
            reached the service.
        metadata: facts that the service gave with the reason.
    """

    def __init__(
        self, message: str, *, code: str = "", reason: str = "", metadata: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.metadata: Mapping[str, str] = dict(metadata or {})


class InvalidCredentials(SessionClientError):
    """Wrong name or password, or a user who is unknown or disabled: which, the service does not say."""


class TokenError(SessionClientError):
    """The access token does not open anything: the caller is not logged in."""


class TokenMissing(TokenError):
    """The call needs an access token and had none."""


class TokenInvalid(TokenError):
    """The token is malformed, or not an access token of this service. Log in again."""


class TokenExpired(TokenError):
    """The token is past its own expiry; its session may live on. Refresh it."""


class SessionEnded(TokenError):
    """The token is good and in date, but its session is over. Log in again; a refresh fails too."""


class RefreshTokenInvalid(SessionClientError):
    """The refresh token is malformed or unknown, or its session is over. Log in again."""


class RefreshTokenReused(RefreshTokenInvalid):
    """The refresh token was used before: one of the two users stole it, so the session was ended."""


class AdminRequired(SessionClientError):
    """The call needs a service key, or an access token, with the role ``admin``."""


class RoleRequired(SessionClientError):
    """The user lacks a role that a gateway or ``require_role`` demands; no call is answered so today."""


class NotFound(SessionClientError):
    """What the call names does not exist."""


class SessionNotFound(NotFound):
    """The user has no live session of that id."""


class UserNotFound(NotFound):
    """There is no user of that id or name."""


class UsernameTaken(SessionClientError):
    """Another user has that name, compared without case, or that id."""


class SessionLimitReached(SessionClientError):
    """The user has as many sessions as allowed, and the service is set to refuse a further one."""


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A wrong field: its path in the request, and what is wrong with it."""

    field: str
    description: str


class InvalidArgument(SessionClientError):
    """The request breaks a limit; nothing was done.

    Args:
        message: as in the root.
        violations: every wrong field; empty where something before the service refused the call.
        code: as in the root.
        reason: as in the root.
        metadata: as in the root.
    """

    def __init__(
        self,
        message: str,
        *,
        violations: tuple[FieldViolation, ...] = (),
        code: str = "",
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, code=code, reason=reason, metadata=metadata)
        self.violations = violations


class RetryLater(SessionClientError):
    """A passing condition.

    Args:
        message: as in the root.
        retry_after: after which time trying again makes sense; ``None`` where nothing was said.
        code: as in the root.
        reason: as in the root.
        metadata: as in the root.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: timedelta | None = None,
        code: str = "",
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, code=code, reason=reason, metadata=metadata)
        self.retry_after = retry_after


class RateLimited(RetryLater):
    """The service refused to work on the call; nothing was done."""


class TooManyAttempts(RateLimited):
    """Too many failed logins for this account or from this address."""


class Overloaded(RateLimited):
    """Too many passwords are being hashed at this moment."""


class ServiceUnavailable(RetryLater):
    """The service or its store cannot be reached. Says nothing of whether a session is alive.

    Never take it for "logged out". A change may or may not have been carried out.
    """


class DeadlineExceeded(SessionClientError):
    """No answer within the time-out. A change may or may not have been carried out."""
