"""Every way a call can fail, as one tree.

::

    SessionServiceError
    ├── InvalidCredentials            wrong name or password, unknown or disabled user
    ├── TokenMissing                  no access token where one is required
    ├── TokenInvalid                  malformed, forged, or not an access token of ours
    ├── TokenExpired                  past its ``exp``
    ├── SessionEnded                  a good token whose session is gone
    ├── RefreshTokenInvalid           unknown, malformed, or of a session that has ended
    │   └── RefreshTokenReused        used a second time: stolen; its session has been ended
    ├── AdminRequired                 a credential without the right
    │   └── AdminCredentialMissing    no credential at all
    ├── RoleRequired                  a good token whose user lacks the role that a route demands
    ├── SessionNotFound
    ├── UserNotFound
    ├── UsernameTaken
    ├── SessionLimitReached           the limit is reached and the policy is ``reject``
    ├── InvalidArgument               names every field that is wrong
    └── RetryLater                    carries how long to wait
        ├── TooManyAttempts
        ├── Overloaded                the hashing queue is full
        └── StoreUnavailable          Redis cannot answer; says nothing about the session

A class has a stable ``reason`` (the ``ErrorInfo.reason`` of the API) and a fixed, public text.
Status codes belong to ``rpc.status``; texts of lower layers never get in here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar


class SessionServiceError(Exception):
    """Root of the tree; ``str()`` of any member is safe to show to a caller.

    Args:
        **metadata: facts for the caller's program, such as ``limit="5"``; never a secret.
    """

    reason: ClassVar[str] = "INTERNAL"
    message: ClassVar[str] = "internal error"

    def __init__(self, **metadata: str) -> None:
        super().__init__(self.message)
        self.metadata: Mapping[str, str] = metadata


class InvalidCredentials(SessionServiceError):
    """One answer for a wrong password, an unknown and a disabled user (ASVS 6.3.8)."""

    reason = "INVALID_CREDENTIALS"
    message = "the username or the password is wrong"


class TokenMissing(SessionServiceError):
    """No access token came with a call that needs one."""

    reason = "TOKEN_MISSING"
    message = "no access token: send metadata 'authorization: Bearer <token>'"


class TokenInvalid(SessionServiceError):
    """The token is not one that this service signed as an access token for this audience."""

    reason = "TOKEN_INVALID"
    message = "the access token is not valid"


class TokenExpired(SessionServiceError):
    """The token was good and its own life is over; a refresh gives another."""

    reason = "TOKEN_EXPIRED"
    message = "the access token has expired"


class SessionEnded(SessionServiceError):
    """Signature and claims hold, but the session is no longer alive."""

    reason = "SESSION_ENDED"
    message = "the session has ended"


class RefreshTokenInvalid(SessionServiceError):
    """The refresh token is forged, malformed, or belongs to no live session."""

    reason = "REFRESH_TOKEN_INVALID"
    message = "the refresh token is not valid"


class RefreshTokenReused(RefreshTokenInvalid):
    """A spent refresh token came back outside the grace: theft (RFC 9700 §4.14)."""

    reason = "REFRESH_TOKEN_REUSED"
    message = "the refresh token was used before; its session has been ended"


class AdminRequired(SessionServiceError):
    """The credential is good or bad, but does not carry the role ``admin``."""

    reason = "ADMIN_REQUIRED"
    message = "this call needs the role 'admin'"


class AdminCredentialMissing(AdminRequired):
    """An operator's call came with neither a service key nor an access token."""

    message = "this call needs metadata 'x-service-key', or an access token with the role 'admin'"


class RoleRequired(SessionServiceError):
    """The token is good, but its user lacks the role (``role``) that a gateway demands for the route."""

    reason = "ROLE_REQUIRED"
    message = "the user lacks a role that this route needs"


class SessionNotFound(SessionServiceError):
    """The user has no live session of that id; another user's is not told apart."""

    reason = "SESSION_NOT_FOUND"
    message = "no such session"


class UserNotFound(SessionServiceError):
    """The directory has no such user."""

    reason = "USER_NOT_FOUND"
    message = "no such user"


class UsernameTaken(SessionServiceError):
    """Another user has this name, compared without case."""

    reason = "USERNAME_TAKEN"
    message = "the username is taken"


class SessionLimitReached(SessionServiceError):
    """The user has ``max_sessions`` live sessions and the policy is ``reject``."""

    reason = "SESSION_LIMIT_REACHED"
    message = "the user has as many sessions as allowed"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One wrong field: its path in the request, and what is wrong with it and the limit."""

    field: str
    description: str


class InvalidArgument(SessionServiceError):
    """One or more request fields are wrong; nothing was stored.

    Args:
        violations: every wrong field, at least one.
    """

    reason = "INVALID_ARGUMENT"
    message = "the request is not valid"

    def __init__(self, *violations: FieldViolation) -> None:
        super().__init__()
        self.violations = violations

    def __str__(self) -> str:
        return "; ".join(f"{one.field}: {one.description}" for one in self.violations)


class RetryLater(SessionServiceError):
    """A passing condition.

    Args:
        retry_after: seconds after which trying again makes sense.
    """

    def __init__(self, retry_after: float, **metadata: str) -> None:
        super().__init__(**metadata)
        self.retry_after = retry_after


class TooManyAttempts(RetryLater):
    """Too many failed logins for this account or from this address (ASVS 6.3.1)."""

    reason = "TOO_MANY_ATTEMPTS"
    message = "too many failed attempts; try again later"


class Overloaded(RetryLater):
    """As many calls or password hashes are under way as are allowed; this one was shed before any work."""

    reason = "OVERLOADED"
    message = "the service is busy; try again shortly"

    def __init__(self, retry_after: float = 1.0, **metadata: str) -> None:
        super().__init__(retry_after, **metadata)


class StoreUnavailable(RetryLater):
    """Redis is away, loading, read-only, full or short of replicas: neither yes nor no.

    Args:
        retry_after: seconds after which trying again makes sense.
        maybe_done: whether a change was asked for and its answer lost, so that it may have been made.
        **metadata: facts for the caller's program.
    """

    reason = "STORE_UNAVAILABLE"
    message = "the session store is not available; nothing is known about the session"

    def __init__(self, retry_after: float = 1.0, *, maybe_done: bool = False, **metadata: str) -> None:
        super().__init__(retry_after, **metadata)
        self.maybe_done = maybe_done
