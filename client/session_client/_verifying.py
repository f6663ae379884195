"""What both verifiers have in common: their limits, tokens that need no call, outcomes, and their errors."""

from __future__ import annotations

from math import inf

from session_client._errors import DeadlineExceeded, SessionClientError, TokenMissing
from session_client._failures import failure_of_check
from session_client._requests import MAX_STALENESS, checked_access_token
from session_client._results import Identity
from session_client._watching import Outcome


def check_limits(max_staleness: float, max_tokens: int, touch_interval: float) -> None:
    """Refuse settings that make no sense.

    Raises:
        ValueError: it names the setting and its limit.
    """
    if not 0 < max_staleness <= MAX_STALENESS:
        raise ValueError(f"max_staleness must be more than 0 and at most {MAX_STALENESS} seconds")
    if max_tokens < 1:
        raise ValueError("max_tokens must be at least 1")
    if not 0 < touch_interval < inf:
        raise ValueError("touch_interval must be more than 0 seconds, and finite")


def refuse_at_sight(access_token: str) -> None:
    """Refuse what no service needs to be asked about.

    Raises:
        TokenMissing: it is empty.
        TokenInvalid: no token has such characters or such a length.
    """
    if not access_token:
        raise TokenMissing("the access token is missing", reason="TOKEN_MISSING")
    checked_access_token(access_token)


def answered(outcome: Outcome) -> Identity | None:
    """The identity, or ``None`` where there was no answer.

    Raises:
        SessionClientError: the token is not accepted, or could not be checked.
    """
    if outcome is None or isinstance(outcome, Identity):
        return outcome
    raise failure_of_check(outcome)


def too_late() -> DeadlineExceeded:
    """No answer in the time that the caller allows."""
    return DeadlineExceeded("the check was not answered in time", code="DEADLINE_EXCEEDED")


def closed_meanwhile() -> SessionClientError:
    """What ends a check that waits when verifier or client is closed; a call under way ends like it."""
    return SessionClientError("the verifier was closed during the check", code="CANCELLED")


def closed() -> RuntimeError:
    """The mistake of using a verifier after closing it."""
    return RuntimeError("the verifier is closed")
