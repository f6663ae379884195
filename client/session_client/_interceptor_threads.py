"""The guard of a threaded ``grpc`` server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import grpc

from session_client._credentials import bearer_token
from session_client._current import context_of, entered
from session_client._grpc_calls import MAKERS, Handler, authorization, trailer
from session_client._guarding import Verifies
from session_client._method_rules import MethodRules
from session_client._refusals import confirmed, refusal_of
from session_client._results import Identity

_END = object()


class SessionInterceptor(grpc.ServerInterceptor):
    """Lets only calls of logged-in users reach the handlers of a threaded ``grpc.server``.

    As ``AsyncSessionInterceptor``, with ``verifier.verify`` of a ``TokenVerifier``.

    Args:
        verify: checks a token.
        public: methods that need no token.
        roles: method → the role that is needed, or several of which one is.

    Raises:
        ValueError: a name is no method, one would be public and need a role, or no role is named.
        TypeError: ``public`` is a single string.
    """

    def __init__(
        self,
        verify: Verifies,
        *,
        public: Iterable[str] = (),
        roles: Mapping[str, str | Iterable[str]] | None = None,
    ) -> None:
        self._verify = verify
        self._rules = MethodRules(public, roles or {})
        self._guarded: dict[str, tuple[Handler, Handler]] = {}

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Put the guard around a method's handler; see grpc."""
        handler = continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or self._rules.is_public(method):
            return handler
        known = self._guarded.get(method)
        if known is None or known[0] is not handler:
            known = self._guarded[method] = (handler, self._around(method, handler))
        return known[1]

    def _around(self, method: str, handler: Handler) -> Handler:
        """A handler of the same shape that asks first."""
        behaviour: Any = (
            handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        )
        make = MAKERS[handler.request_streaming, handler.response_streaming]
        ask = self._ask

        def answer(request: Any, context: Any) -> Any:  # noqa: ANN401 - of the method's types
            with entered(ask(method, context)):
                return behaviour(request, context)

        def stream(request: Any, context: Any) -> Iterator[Any]:  # noqa: ANN401 - likewise
            # The pieces of a stream are made by whichever thread is free, so it has a context of its own.
            within = context_of(ask(method, context))
            responses = iter(within.run(behaviour, request, context))
            while (response := within.run(next, responses, _END)) is not _END:
                yield response

        guarded = stream if handler.response_streaming else answer
        made: Handler = make(guarded, handler.request_deserializer, handler.response_serializer)
        return made

    def _ask(self, method: str, context: grpc.ServicerContext) -> Identity:
        """Whose call it is; ends it where that is nobody who may make it."""
        try:
            identity = confirmed(self._verify(bearer_token(authorization(context))))
            self._rules.check(method, identity)
        except Exception as error:  # noqa: BLE001 - whatever it is, it lets nobody in
            refusal = refusal_of(error)
        else:
            return identity
        context.set_trailing_metadata((trailer(refusal),))
        context.abort(refusal.code, refusal.message)
        raise AssertionError("abort has raised")
