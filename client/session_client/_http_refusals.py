"""A refusal over HTTP: status, headers and a small JSON body, as the service's own REST answers have them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Final

import grpc

from session_client._refusals import Refusal
from session_client._rich_status import ERROR_DOMAIN

_STATUS: Final = {
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNAVAILABLE: 503,
}
_ERROR_INFO: Final = "type.googleapis.com/google.rpc.ErrorInfo"


@dataclass(frozen=True, slots=True)
class HttpRefusal:
    """A whole answer; names of headers in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def http_refusal(refusal: Refusal) -> HttpRefusal:
    """The answer that tells of a refusal: a ``google.rpc.Status`` in JSON, and headers that help."""
    number: int = refusal.code.value[0]
    details = [{"@type": _ERROR_INFO, "reason": refusal.reason, "domain": ERROR_DOMAIN}]
    content = {"code": number, "message": refusal.message, "details": details}
    body = json.dumps(content, separators=(",", ":")).encode()
    described = (("content-type", "application/json"), ("content-length", str(len(body))))
    return HttpRefusal(_STATUS[refusal.code], (*_hints(refusal), *described), body)


def _hints(refusal: Refusal) -> list[tuple[str, str]]:
    """Which credential is asked for (RFC 6750 §3), when to try again (RFC 9110 §10.2.3)."""
    if refusal.retry_after is not None:
        return [("retry-after", str(max(1, math.ceil(refusal.retry_after.total_seconds()))))]
    if refusal.code is grpc.StatusCode.PERMISSION_DENIED:
        return [("www-authenticate", 'Bearer error="insufficient_scope"')]
    # RFC 6750 §3.1: who sent no token is told of no error; a challenge has one parameter at least.
    if refusal.reason == "TOKEN_MISSING":
        return [("www-authenticate", 'Bearer realm="session-service"')]
    return [("www-authenticate", 'Bearer error="invalid_token"')]
