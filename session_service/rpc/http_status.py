"""The one place that gives an error its shape in HTTP: status, headers and a small JSON body.

For whoever asks over HTTP or has somebody who does: Envoy's external authorization, forward-auth, REST.
The statuses are those that Envoy's JSON transcoder gives the codes of gRPC.
"""

from __future__ import annotations

import json
import math
from typing import Final

import grpc

from session_service.domain import errors
from session_service.rpc.http import HttpResponse
from session_service.rpc.status import coded

HTTP_STATUS: Final[dict[grpc.StatusCode, int]] = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}

_JSON: Final = ("content-type", "application/json")
_BAD_TOKEN: Final = (errors.TokenInvalid, errors.TokenExpired, errors.SessionEnded)


def http_response_of(error: Exception) -> HttpResponse:
    """The answer that tells of an error; of anything unforeseen it tells a fixed text.

    The body is ``{"code": <number of the gRPC code>, "message": "…", "reason": "…"}``.
    """
    known, code = coded(error)
    number: int = code.value[0]
    body = json.dumps({"code": number, "message": str(known), "reason": known.reason})
    return HttpResponse(HTTP_STATUS[code], (*_hints(known, code), _JSON), body.encode())


def _hints(error: errors.SessionServiceError, code: grpc.StatusCode) -> list[tuple[str, str]]:
    """What helps: which credential is asked for (RFC 6750 §3), or when to try again (RFC 9110 §10.2.3)."""
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return [("www-authenticate", _challenge(error))]
    if code is grpc.StatusCode.PERMISSION_DENIED:
        return [("www-authenticate", 'Bearer error="insufficient_scope"')]
    if isinstance(error, errors.RetryLater):
        return [("retry-after", str(max(1, math.ceil(error.retry_after))))]
    return []


def _challenge(error: errors.SessionServiceError) -> str:
    """RFC 6750 §3.1: who sent no token is told of no error; a challenge has one parameter at least."""
    if isinstance(error, _BAD_TOKEN):
        return 'Bearer error="invalid_token"'
    return 'Bearer realm="session-service"'
