"""What both interceptors need of a call and of a method's handler."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import grpc

from session_client._refusals import Refusal
from session_client._rich_status import details_trailer

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

MAKERS: Final[dict[tuple[bool, bool], Any]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
"""How a handler is made: whether requests, whether responses are a stream."""


def authorization(context: Any) -> list[str]:  # noqa: ANN401 - both of grpc's runtimes
    """Every ``authorization`` of a call's metadata."""
    found = []
    for key, value in context.invocation_metadata() or ():
        if key == "authorization":
            found.append(value if isinstance(value, str) else value.decode("latin-1"))
    return found


def trailer(refusal: Refusal) -> tuple[str, bytes]:
    """The trailing metadata that tells of a refusal."""
    number: int = refusal.code.value[0]
    return details_trailer(number, refusal.message, refusal.reason, refusal.metadata, refusal.retry_after)
