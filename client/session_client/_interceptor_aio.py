"""The guard of a ``grpc.aio`` server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextvars import Context
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import Any, Final

import grpc

from session_client._current import context_of, enter
from session_client._grpc_calls import (
    Behaviour,
    Handler,
    behaviour_of,
    token_in,
    trailers_of,
    with_behaviour,
)
from session_client._guarding import AsyncVerifies
from session_client._method_rules import MethodRules
from session_client._refusals import Refusal, confirmed_later, refusal_of
from session_client._results import Identity

_END: Final = object()


class AsyncSessionInterceptor(grpc.aio.ServerInterceptor):
    """Lets only calls of logged-in users reach the handlers of a ``grpc.aio`` server.

    The access token comes in the metadata ``authorization: Bearer <token>``. Handlers, whether coroutines,
    generators or functions that run in threads, learn whose it is from ``current_identity()``. A call that
    is refused ends with UNAUTHENTICATED, PERMISSION_DENIED where the user lacks a role, or UNAVAILABLE where
    nothing is known; the reason is in an ``ErrorInfo``, as the session service itself gives it. Every method
    is guarded that is not named public, health and reflection too. A stream is checked when it begins.

    Args:
        verify: checks a token, such as ``verifier.verify`` of an ``AsyncTokenVerifier``.
        public: methods that need no token, ``/shop.v1.Orders/List``, or ``/grpc.health.v1.Health/*`` for all
            of a service.
        roles: such name → the role that is needed, or several of which one is.

    Raises:
        ValueError: a name is no such name, one would be public and need a role, or no role is named.
        TypeError: ``public`` is a single string.
    """

    def __init__(
        self,
        verify: AsyncVerifies,
        *,
        public: Iterable[str] = (),
        roles: Mapping[str, str | Iterable[str]] | None = None,
    ) -> None:
        self._verify = verify
        self._rules = MethodRules(public, roles or {})

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Choose the handler of a call: the method's own, or one that refuses; see grpc."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or self._rules.is_public(method):
            return handler
        try:
            token = token_in(handler_call_details.invocation_metadata)
            identity = await confirmed_later(self._verify(token))
            self._rules.check(method, identity)
        except Exception as error:  # noqa: BLE001 - whatever it is, it lets nobody in
            return _refusing(handler, refusal_of(error))
        return _admitting(handler, identity)


def _admitting(handler: Handler, identity: Identity) -> Handler:
    behaviour = behaviour_of(handler)
    if iscoroutinefunction(behaviour) or isasyncgenfunction(behaviour):
        # It runs in the call's own task, which this is, so nothing need be put back.
        enter(identity)
        return handler
    # It runs in threads, where nothing of this task's context is seen.
    within = context_of(identity)
    run = _streaming if handler.response_streaming else _answering
    return with_behaviour(handler, run(behaviour, within))


def _answering(behaviour: Behaviour, within: Context) -> Behaviour:
    def answer(request: Any, context: Any) -> Any:  # noqa: ANN401 - of the method's types
        return within.run(behaviour, request, context)

    return answer


def _streaming(behaviour: Behaviour, within: Context) -> Behaviour:
    def stream(request: Any, context: Any) -> Iterator[Any]:  # noqa: ANN401 - of the method's types
        responses = iter(within.run(behaviour, request, context))
        while (response := within.run(next, responses, _END)) is not _END:
            yield response

    return stream


def _refusing(handler: Handler, refusal: Refusal) -> Handler:
    async def refuse(_request: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        # Not by `abort`: a server that stops does not wait for calls that aborted (grpc#37239).
        context.set_code(refusal.code)
        context.set_details(refusal.message)
        context.set_trailing_metadata(trailers_of(refusal))

    return with_behaviour(handler, refuse)
