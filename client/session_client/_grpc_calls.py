"""What both interceptors need of a call and of a method's handler, unary or streaming either way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias, cast

import grpc

from session_client._credentials import bearer_token
from session_client._refusals import Refusal
from session_client._rich_status import details_trailer

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Behaviour: TypeAlias = Callable[..., Any]

# By whether requests, whether responses are a stream.
_MAKERS: Final[dict[tuple[bool, bool], Any]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def token_in(metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
    """The access token in a call's metadata.

    Raises:
        TokenMissing: there is none.
        TokenInvalid: there are two, the scheme is another, or no token looks like that.
    """
    values = [value for key, value in metadata or () if key == "authorization"]
    return bearer_token([one if isinstance(one, str) else one.decode("latin-1") for one in values])


def behaviour_of(handler: Handler) -> Behaviour:
    """The function that answers a method's calls."""
    streaming: Behaviour | None = handler.unary_stream or handler.stream_unary or handler.stream_stream
    return streaming or cast("Behaviour", handler.unary_unary)


def with_behaviour(handler: Handler, behaviour: Behaviour) -> Handler:
    """A handler of the same shape and messages that answers by another function.

    Of the same shape, because gRPC waits for the request of a method before it runs its handler, unless
    requests are a stream: a caller who streams and says nothing would never be refused.

    Made for each call and not kept: that costs a microsecond or two, a handler further in may be another
    each time, and where one handler serves whatever method is named, strangers would fill what keeps them.
    """
    make = _MAKERS[bool(handler.request_streaming), bool(handler.response_streaming)]
    made: Handler = make(behaviour, handler.request_deserializer, handler.response_serializer)
    return made


def trailers_of(refusal: Refusal) -> tuple[tuple[str, bytes], ...]:
    """The trailing metadata that tells of a refusal."""
    number: int = refusal.code.value[0]
    reason, metadata = refusal.reason, refusal.metadata
    return (details_trailer(number, refusal.message, reason, metadata, refusal.retry_after),)
