"""What a guard answers where it lets nobody pass: the one place that decides it, for gRPC and HTTP alike."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from inspect import isawaitable
from typing import Final

import grpc

from session_client import _errors as errors
from session_client._results import Identity

log = logging.getLogger(__name__)

# Told by class, in fixed texts: what a verifier puts into its exceptions stays here.
_NOT_LOGGED_IN: Final[dict[type[errors.TokenError], tuple[str, str]]] = {
    errors.TokenMissing: ("TOKEN_MISSING", "no access token: send 'authorization: Bearer <token>'"),
    errors.TokenExpired: ("TOKEN_EXPIRED", "the access token has expired"),
    errors.SessionEnded: ("SESSION_ENDED", "the session has ended"),
    errors.TokenError: ("TOKEN_INVALID", "the access token is not valid"),
}
_SOON: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not let in.

    Args:
        code: UNAUTHENTICATED, PERMISSION_DENIED or UNAVAILABLE.
        reason: of the ``ErrorInfo``, as the service itself gives it.
        message: for people.
        metadata: of the ``ErrorInfo``.
        retry_after: after which time trying again makes sense, if it does.
    """

    code: grpc.StatusCode
    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    retry_after: timedelta | None = None


class WrongVerify(TypeError):
    """The guard was given a ``verify`` that does not fit it. The text is ours, so it may be logged."""


def confirmed(answer: object) -> Identity:
    """What a verifier answered, if that says who it is.

    Raises:
        WrongVerify: it says nothing of the kind. Anything else that is true, the coroutine of an
            asynchronous verifier say, would otherwise let everybody in.
    """
    if not isinstance(answer, Identity):
        raise WrongVerify(f"verify must answer with an Identity, not with a {type(answer).__name__}")
    return answer


async def confirmed_later(answer: Awaitable[object]) -> Identity:
    """As ``confirmed``, of a verifier that is awaited.

    Raises:
        WrongVerify: also if it answered at once, as that for threads does.
    """
    if not isawaitable(answer):
        raise WrongVerify("verify must be asynchronous: of AsyncTokenVerifier, or averify of FakeSessions")
    return confirmed(await answer)


def refusal_of(error: Exception) -> Refusal:
    """The answer to a request whose check raised: only a ``TokenError`` says that nobody is logged in."""
    for kind, (reason, message) in _NOT_LOGGED_IN.items():
        if isinstance(error, kind):
            return Refusal(grpc.StatusCode.UNAUTHENTICATED, reason, message)
    if isinstance(error, errors.RoleRequired):
        message = "the user lacks a role that this needs"
        return Refusal(grpc.StatusCode.PERMISSION_DENIED, "ROLE_REQUIRED", message, error.metadata)
    _tell(error)
    waiting = error.retry_after if isinstance(error, errors.RetryLater) else None
    message = "nothing is known at this moment of who is logged in"
    return Refusal(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", message, retry_after=waiting or _SOON)


def _tell(error: Exception) -> None:
    """Log why nothing is known; without others' texts, for a verifier may have put a token there."""
    kind = type(error).__name__
    if isinstance(error, errors.SessionClientError):
        log.warning("a token could not be checked: %s %s", kind, error.reason or error.code)
    elif isinstance(error, WrongVerify):
        log.error("no token can be checked: %s", error)
    else:
        frames = "".join(traceback.format_tb(error.__traceback__))
        log.error("the check of a token failed: %s\n%s", kind, frames)
