"""What Envoy answers by itself, before Python sees a request: JSON as google.rpc.Status is printed.

To gRPC it answers in gRPC. What it says of a body that it cannot read quotes that body, passwords and
all, and whoever gets an error may log it: so such a request has a fixed text.
"""

from __future__ import annotations

from typing import Any, Final

import grpc

from session_service.rpc.status import ERROR_DOMAIN

Json = dict[str, Any]

_WHAT_ENVOY_SAYS: Final = "%LOCAL_REPLY_BODY%"
_BAD_BODY: Final = (
    "the request does not fit the method: the body must be one JSON object in UTF-8, every value of its "
    "field's type, and the query may only name fields of the method"
)


def _reply(
    status: int, code: grpc.StatusCode, reason: str = "", message: str = _WHAT_ENVOY_SAYS, method: str = ""
) -> Json:
    """The answer of one status.

    Args:
        status: of HTTP.
        code: of gRPC.
        reason: of the ``ErrorInfo``, if it has one.
        message: told to the caller.
        method: of the requests that it is for; empty = all.
    """
    conditions = [_has_status(status), *([_has_method(method)] if method else [])]
    condition = conditions[0] if len(conditions) == 1 else {"and_filter": {"filters": conditions}}
    return {"filter": condition, "body_format_override": _body(code, reason, message)}


def _body(code: grpc.StatusCode, reason: str, message: str) -> Json:
    number: int = code.value[0]
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": ERROR_DOMAIN,
        "metadata": {},
    }
    return {"json_format": {"code": number, "message": message, "details": [info] if reason else []}}


def _has_status(status: int) -> Json:
    value = {"default_value": status, "runtime_key": f"none.{status}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _has_method(method: str) -> Json:
    return {"header_filter": {"header": {"name": ":method", "string_match": {"exact": method}}}}


LOCAL_REPLIES: Final[Json] = {
    "mappers": [
        _reply(400, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", _BAD_BODY, "POST"),
        _reply(400, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        _reply(404, grpc.StatusCode.NOT_FOUND, message="no such path"),
        _reply(408, grpc.StatusCode.DEADLINE_EXCEEDED, message="the request did not arrive in time"),
        _reply(413, grpc.StatusCode.RESOURCE_EXHAUSTED, message="the request is larger than allowed"),
        _reply(431, grpc.StatusCode.RESOURCE_EXHAUSTED, message="the header fields are larger than allowed"),
        _reply(500, grpc.StatusCode.INTERNAL, "INTERNAL", "internal error"),
        _reply(503, grpc.StatusCode.UNAVAILABLE),
        _reply(504, grpc.StatusCode.DEADLINE_EXCEEDED, message="the call was not answered in time"),
    ],
    "body_format": _body(grpc.StatusCode.UNKNOWN, "", _WHAT_ENVOY_SAYS),
}
