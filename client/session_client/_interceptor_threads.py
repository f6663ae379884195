"""The guard of a threaded ``grpc`` server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any

import grpc

from session_client._current import enter
from session_client._grpc_calls import Handler, behaviour_of, token_in, trailers_of, with_behaviour
from session_client._guarding import Verifies
from session_client._method_rules import MethodRules
from session_client._refusals import confirmed, refusal_of
from session_client._results import Identity


class SessionInterceptor(grpc.ServerInterceptor):
    """Lets only calls of logged-in users reach the handlers of a threaded ``grpc.server``.

    As ``AsyncSessionInterceptor``, with ``verifier.verify`` of a ``TokenVerifier``. The check takes place in
    the thread that then runs the handler.

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
        return self._around(method, handler)

    def _around(self, method: str, handler: Handler) -> Handler:
        """A handler of the same shape that asks first.

        Not the interceptor itself, which runs in the one thread that takes all calls in.
        """
        behaviour = behaviour_of(handler)

        # `wraps` also takes over what grpc reads from the function: a pool of its own, and that it does not
        # block, as Watch of grpc's health service. Such a one is given `send_response` besides.
        @wraps(behaviour)
        def answer(request: Any, context: grpc.ServicerContext, *send_response: Any) -> Any:  # noqa: ANN401
            # grpc runs each call, its stream of responses included, in a context of its own, so nothing
            # need be put back.
            enter(self._ask(method, context))
            return behaviour(request, context, *send_response)

        return with_behaviour(handler, answer)

    def _ask(self, method: str, context: grpc.ServicerContext) -> Identity:
        """Whose call it is; ends it where that is nobody who may make it."""
        try:
            identity = confirmed(self._verify(token_in(context.invocation_metadata())))
            self._rules.check(method, identity)
        except Exception as error:  # noqa: BLE001 - whatever it is, it lets nobody in
            refusal = refusal_of(error)
        else:
            return identity
        context.set_trailing_metadata(trailers_of(refusal))
        context.abort(refusal.code, refusal.message)
        raise AssertionError("abort has raised")
