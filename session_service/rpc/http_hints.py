"""The header fields that tell an HTTP client what helps after a failure."""

from __future__ import annotations

import math
from typing import Final

import grpc

from session_service.domain import errors

_BAD_TOKEN: Final = frozenset(
    error.reason for error in (errors.TokenInvalid, errors.TokenExpired, errors.SessionEnded)
)


def hints(code: grpc.StatusCode | None, reason: str, retry_after: float | None) -> list[tuple[str, str]]:
    """Which credential is asked for (RFC 6750 §3), and when to try again (RFC 9110 §10.2.3).

    Args:
        code: of the failure.
        reason: of its ``ErrorInfo``.
        retry_after: seconds of its ``RetryInfo``, if it has one.
    """
    fields = []
    if code is grpc.StatusCode.UNAUTHENTICATED:
        fields.append(("www-authenticate", _challenge(reason)))
    elif code is grpc.StatusCode.PERMISSION_DENIED:
        fields.append(("www-authenticate", 'Bearer error="insufficient_scope"'))
    if retry_after is not None:
        fields.append(("retry-after", str(max(1, math.ceil(retry_after)))))
    return fields


def _challenge(reason: str) -> str:
    """RFC 6750 §3.1: who sent no token is told of no error; a challenge has one parameter at least."""
    if reason in _BAD_TOKEN:
        return 'Bearer error="invalid_token"'
    return 'Bearer realm="session-service"'
