"""The guard of a ``grpc.aio`` server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import Any

import grpc

from session_client._credentials import bearer_token
from session_client._current import enter
from session_client._grpc_calls import MAKERS, Handler, authorization, trailer
from session_client._guarding import AsyncVerifies
from session_client._method_rules import MethodRules
from session_client._refusals import confirmed, refusal_of
from session_client._results import Identity


class AsyncSessionInterceptor(grpc.aio.ServerInterceptor):
    """Lets only calls of logged-in users reach the handlers of a ``grpc.aio`` server.

    The access token comes in the metadata ``authorization: Bearer <token>``. Handlers learn whose it is
    from ``current_identity()``. A call that is refused ends with UNAUTHENTICATED, PERMISSION_DENIED where
    the user lacks a role, or UNAVAILABLE where nothing is known; the reason is in an ``ErrorInfo``, as the
    session service itself gives it. Every method is guarded that is not named public, health and reflection
    too. Handlers are coroutines or asynchronous generators; a call of any other fails.

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
        # A handler is wrapped once: it is looked up again at every call.
        self._guarded: dict[str, tuple[Handler, Handler]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Put the guard around a method's handler; see grpc."""
        handler = await continuation(handler_call_details)
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
        if not (isasyncgenfunction(behaviour) or iscoroutinefunction(behaviour)):
            # grpc.aio runs others in threads, where nothing of their context is seen.
            raise TypeError(f"the handler of {method} must be a coroutine or an asynchronous generator")
        make = MAKERS[handler.request_streaming, handler.response_streaming]
        ask = self._ask

        async def answer(request: Any, context: Any) -> Any:  # noqa: ANN401 - of the method's types
            # grpc.aio serves each call in a context of its own, so nothing need be put back.
            enter(await ask(method, context))
            return await behaviour(request, context)

        async def stream(request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: ANN401 - likewise
            enter(await ask(method, context))
            async for response in behaviour(request, context):
                yield response

        guarded = stream if isasyncgenfunction(behaviour) else answer
        made: Handler = make(guarded, handler.request_deserializer, handler.response_serializer)
        return made

    async def _ask(self, method: str, context: grpc.aio.ServicerContext[Any, Any]) -> Identity:
        """Whose call it is; ends it where that is nobody who may make it."""
        try:
            identity = confirmed(await self._verify(bearer_token(authorization(context))))
            self._rules.check(method, identity)
        except Exception as error:  # noqa: BLE001 - whatever it is, it lets nobody in
            refusal = refusal_of(error)
        else:
            return identity
        await context.abort(refusal.code, refusal.message, (trailer(refusal),))
        raise AssertionError("abort has raised")
