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
from session_service.rpc.http.values import HttpResponse
from session_service.rpc.status import ERROR_DOMAIN, coded

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
_ERROR_INFO: Final = "type.googleapis.com/google.rpc.ErrorInfo"
_BAD_TOKEN: Final = frozenset(
    kind.reason for kind in (errors.TokenInvalid, errors.TokenExpired, errors.SessionEnded)
)


def http_response_of(error: Exception) -> HttpResponse:
    """The answer that tells of an error; of anything unforeseen it tells a fixed text."""
    known, code = coded(error)
    retry_after = known.retry_after if isinstance(known, errors.RetryLater) else None
    helpful = hints(code, known.reason, retry_after)
    return http_failure(HTTP_STATUS[code], code, str(known), *helpful, reason=known.reason)


def http_failure(
    status: int, code: grpc.StatusCode, message: str, *headers: tuple[str, str], reason: str = ""
) -> HttpResponse:
    """An answer as the JSON transcoder makes them of failed calls: a ``google.rpc.Status`` in JSON.

    Args:
        status: of HTTP.
        code: of gRPC.
        message: told to the caller.
        *headers: besides the content's type.
        reason: of an ``ErrorInfo``; empty = the answer has none.
    """
    number: int = code.value[0]
    details = [{"@type": _ERROR_INFO, "reason": reason, "domain": ERROR_DOMAIN}] if reason else []
    body = json.dumps({"code": number, "message": message, "details": details}, separators=(",", ":"))
    return HttpResponse(status, (*headers, _JSON), body.encode())


def hints(code: grpc.StatusCode | None, reason: str, retry_after: float | None) -> list[tuple[str, str]]:
    """Headers that help: which credential is asked for (RFC 6750 §3), when to try again (RFC 9110 §10.2.3).

    Args:
        code: of the failed call.
        reason: its ``ErrorInfo.reason``; empty where it has none.
        retry_after: seconds after which trying again makes sense, if it does.
    """
    found = []
    if code is grpc.StatusCode.UNAUTHENTICATED:
        # RFC 6750 §3.1: who sent no token is told of no error; a challenge has one parameter at least.
        bad = reason in _BAD_TOKEN
        challenge = 'Bearer error="invalid_token"' if bad else 'Bearer realm="session-service"'
        found.append(("www-authenticate", challenge))
    if code is grpc.StatusCode.PERMISSION_DENIED:
        found.append(("www-authenticate", 'Bearer error="insufficient_scope"'))
    if retry_after is not None:
        found.append(("retry-after", str(max(1, math.ceil(retry_after)))))
    return found
