"""The methods that are one check where an engine serves each call by itself: from bytes to bytes.

They have the two halves that ``batched`` gives, so that both engines answer alike, and nothing is read or
written twice that is remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import grpc

from session_service.domain.authorization import allowed
from session_service.domain.checks import Asked, Outcome, TokenCheck
from session_service.domain.models import Identity
from session_service.rpc.batched import VERIFY_TOKEN, Batched, BatchedMethod
from session_service.rpc.boundary import Behaviour, MethodHandlers, answered
from session_service.rpc.caller import Context, metadata_values
from session_service.rpc.requests import NewRequest, Requests


def single_checks(batched: Batched) -> MethodHandlers:
    """Handlers of all methods that are one check."""
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
    for path, method in batched.methods.items():
        single = _SingleCheck(method, batched.check, remembers=path == VERIFY_TOKEN)
        behaviour: Behaviour = answered(path, single.answer, batched.room, batched.observer)
        handlers[path] = grpc.unary_unary_rpc_method_handler(behaviour)
    return MethodHandlers(handlers)


class _SingleCheck:
    """Answers calls of one method.

    Args:
        method: what it asks and answers.
        check: makes the checks.
        remembers: whether what requests with a bound ask is remembered: to read them would be a third of a
            check from memory.
    """

    def __init__(self, method: BatchedMethod, check: TokenCheck, *, remembers: bool) -> None:
        self._read, self._asked, self._answered = method.read, method.asked, method.answered
        self._check = check
        self._remembers = remembers
        self._remembered = Requests()

    async def answer(self, message: bytes, context: Context) -> bytes:
        """The response to a request; raises what fails the call."""
        asked = self._remembered.get(message)
        if asked is not None:
            return self._answered(await self._outcome(asked))
        request = self._read(message)
        if isinstance(request, Exception):
            raise request
        try:
            asked = self._asked(request, partial(_values, context))
        except Exception as error:  # noqa: BLE001 - the outcome
            return self._answered(error)
        outcome = await self._outcome(asked)
        if self._remembers and asked[1] and request.token and type(outcome) is Identity:
            self._remembered.keep(NewRequest(message, asked))
        return self._answered(outcome)

    async def _outcome(self, asked: Asked) -> Outcome | None:
        token, bound, role = asked
        if token is None:
            return None
        try:
            return allowed(await self._check.check(token, bound), role)
        except Exception as error:  # noqa: BLE001 - the outcome
            return error


def _values(context: Context, key: str) -> Sequence[str]:
    return list(metadata_values(context, key))
