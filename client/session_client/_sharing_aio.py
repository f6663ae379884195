"""Strict checks of one event loop, several to a call where several are under way: ``_sharing`` rules."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextvars import Context
from typing import TYPE_CHECKING, Final

import grpc
from session_api.v1 import session_service_pb2 as pb

from session_client._async_calls import AsyncCalls
from session_client._conversions import identity_of
from session_client._failures import task_is_cancelled
from session_client._results import Identity
from session_client._sharing import (
    CLOSED,
    LONGEST_WAIT,
    SHORTEST_TIMEOUT,
    TOO_LATE,
    Outcome,
    Sharing,
    answered,
    outcomes,
)

if TYPE_CHECKING:
    from session_api.v1.session_service_pb2_grpc import SessionServiceAsyncStub


class _Check:
    """A check that waits for a call to leave or to return."""

    __slots__ = ("answer", "deadline", "token")

    def __init__(self, token: str, deadline: float, answer: asyncio.Future[Outcome]) -> None:
        self.token: Final = token
        self.deadline: Final = deadline
        self.answer: Final = answer

    def settle(self, outcome: Outcome) -> None:
        """Answer it, unless its caller has left or it has been answered."""
        if not self.answer.done():
            self.answer.set_result(outcome)


class _Call:
    """A call for several checks, each of which is to be answered by its own deadline.

    That of the call is the last of them, so the earlier ones are watched here, by one timer.
    """

    def __init__(self, checks: list[_Check], loop: asyncio.AbstractEventLoop) -> None:
        self.checks: Final = checks
        self.tokens: Final = list(dict.fromkeys(check.token for check in checks))
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._watch()

    def timeout(self) -> float:
        """How long the call may take; seconds."""
        return max(0.0, max(check.deadline for check in self.checks) - self._loop.time())

    def settle(self, found: Mapping[str, Outcome]) -> None:
        """Answer all checks, by their tokens."""
        if self._timer is not None:
            self._timer.cancel()
        for check in self.checks:
            check.settle(found.get(check.token))

    def _watch(self) -> None:
        due = min((check.deadline for check in self.checks if not check.answer.done()), default=None)
        self._timer = None if due is None else self._loop.call_at(due, self._expire)

    def _expire(self) -> None:
        for check in self.checks:
            if check.deadline <= self._loop.time():
                check.settle(TOO_LATE)
        self._watch()


class AsyncSharedChecks:
    """Makes strict checks.

    Args:
        stub: of the client's channel.
        calls: of that channel.
        is_on: whether calls are shared at all.
    """

    def __init__(self, stub: SessionServiceAsyncStub, calls: AsyncCalls, *, is_on: bool) -> None:
        self._stub = stub
        self._calls = calls
        self._loop = asyncio.get_running_loop()
        self._sharing: Sharing[_Check] = Sharing()
        self._sharing.is_on = is_on
        self._timer: asyncio.TimerHandle | None = None
        self._sending: set[asyncio.Task[None]] = set()

    async def verify(self, token: str, timeout: float | None) -> Identity:
        """Check a token, which may be one; raises what the client's ``verify_token`` does."""
        seconds = self._calls.read_timeout if timeout is None else timeout
        if not self._sharing.is_on or self._calls.closed or seconds < SHORTEST_TIMEOUT:
            return await self._alone(token, seconds)
        if self._sharing.begin():
            try:
                return await self._alone(token, seconds)
            finally:
                self._returned()
        check = _Check(token, self._loop.time() + seconds, self._loop.create_future())
        if not self._wait(check):
            return await self._alone(token, seconds)
        identity = answered(await check.answer)
        if identity is None:
            return await self._alone(token, max(0.0, check.deadline - self._loop.time()))
        return identity

    async def _alone(self, token: str, timeout: float) -> Identity:
        message = pb.VerifyTokenRequest(token=token)
        return identity_of(await self._calls.read(self._stub.VerifyToken, message, (), timeout))

    def _wait(self, check: _Check) -> bool:
        """Let a check wait for the next call, if there is or can be made room in it."""
        if not self._sharing.has_room(check.token):
            if not self._sharing.may_send():
                return False
            self._send()
        self._sharing.add(check)
        if self._timer is None:
            self._timer = self._loop.call_later(LONGEST_WAIT, self._waited)
        return True

    def _waited(self) -> None:
        """The time is up for what waits: send it, or where too much is out, let each go alone."""
        self._timer = None
        if not self._sharing.waiting:
            return
        if self._sharing.may_send():
            self._send()
            return
        for check in self._sharing.take():
            check.settle(None)

    def _returned(self) -> None:
        self._sharing.returned()
        if self._sharing.waiting and self._sharing.may_send():
            self._send()

    def _send(self) -> None:
        """Send what waits, in a context of nobody's: the call is not that of one caller."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        call = _Call([check for check in self._sharing.take() if not check.answer.done()], self._loop)
        task = self._loop.create_task(self._make(call), context=Context())
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _make(self, call: _Call) -> None:
        found: Mapping[str, Outcome] = {}
        try:
            if call.tokens:
                found = await self._found(call)
        finally:
            call.settle(found)
            # After those who are answered had their turn, so that what they ask next shares the next call.
            self._loop.call_soon(self._returned)

    async def _found(self, call: _Call) -> Mapping[str, Outcome]:
        """What becomes of each token."""
        tokens = call.tokens
        if self._calls.closed:
            return dict.fromkeys(tokens, CLOSED)
        try:
            if len(tokens) == 1:
                message = pb.VerifyTokenRequest(token=tokens[0])
                return {tokens[0]: identity_of(await self._stub.VerifyToken(message, timeout=call.timeout()))}
            request = pb.BatchVerifyTokensRequest(tokens=tokens)
            answer = await self._stub.BatchVerifyTokens(request, timeout=call.timeout())
        except grpc.RpcError as error:
            return dict.fromkeys(tokens, self._sharing.failed(error, len(tokens)))
        except asyncio.CancelledError:
            if task_is_cancelled():
                raise
            return dict.fromkeys(tokens, CLOSED)
        return outcomes(tokens, answer)
