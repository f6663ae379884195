"""The answers to requests that reach no method, each in one place: status, text, headers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import grpc

from session_service.rpc.http.status import http_failure
from session_service.rpc.http.values import HttpResponse

NO_SUCH_PATH: Final = http_failure(404, grpc.StatusCode.NOT_FOUND, "no such path")
NOT_IN_GRPC: Final = http_failure(
    415,
    grpc.StatusCode.INVALID_ARGUMENT,
    "this path takes gRPC, by POST with a content-type of application/grpc; JSON has paths of its own",
)
NOT_HTTP: Final = http_failure(
    400, grpc.StatusCode.INVALID_ARGUMENT, "the request is not HTTP as RFC 9112 has it"
)
LATE_REQUEST: Final = http_failure(
    408, grpc.StatusCode.DEADLINE_EXCEEDED, "the request did not arrive in time"
)
LATE_ANSWER: Final = http_failure(504, grpc.StatusCode.DEADLINE_EXCEEDED, "the call was not answered in time")
FAILED: Final = http_failure(500, grpc.StatusCode.INTERNAL, "internal error", reason="INTERNAL")
BUSY: Final = http_failure(
    503, grpc.StatusCode.UNAVAILABLE, "the service is busy; try again shortly", ("retry-after", "1")
)


def too_large(limit: int) -> HttpResponse:
    """The answer to a body that has more bytes than the limit."""
    text = f"the body has more than {limit} bytes"
    return http_failure(413, grpc.StatusCode.RESOURCE_EXHAUSTED, text)


def header_too_large(limit: int) -> HttpResponse:
    """The answer to header fields that have more bytes than the limit."""
    text = f"the metadata has more than {limit} bytes"
    return http_failure(431, grpc.StatusCode.RESOURCE_EXHAUSTED, text)


def not_allowed(verbs: Iterable[str]) -> HttpResponse:
    """The answer to a method of HTTP that a path does not take, with those that it takes."""
    allowed = ", ".join(verbs)
    text = f"this path takes {allowed}"
    return http_failure(405, grpc.StatusCode.UNIMPLEMENTED, text, ("allow", allowed))


def options(verbs: Iterable[str]) -> HttpResponse:
    """The answer to OPTIONS: what a path takes."""
    return HttpResponse(200, (("allow", ", ".join(verbs)),), b"")
