"""The verifier for asyncio: it moves messages between ``Watching`` and a stream of grpc.aio."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeAlias

import grpc
from session_api.v1 import session_service_pb2 as pb

from session_client._async_client import AsyncSessionClient
from session_client._clock import steady
from session_client._failures import task_is_cancelled
from session_client._reopening import Reopening
from session_client._results import Identity
from session_client._verifying import (
    answered,
    check_limits,
    closed,
    closed_meanwhile,
    refuse_at_sight,
    too_late,
)
from session_client._watching import Outcome, Question, Watching

_Answer: TypeAlias = "asyncio.Future[Outcome]"
_Call: TypeAlias = "grpc.aio.StreamStreamCall[pb.WatchTokensRequest, pb.WatchTokensResponse]"


class AsyncTokenVerifier:
    """Checks access tokens mostly from memory, and yet knows within ``max_staleness`` of a session's end.

    Make one for the whole process, inside the event loop that uses it, and keep it. It keeps one stream to
    the service, over which the service tells of every session that ends or changes. An answer is used only
    while it is proven that nothing older than ``max_staleness`` is missing; else, and whenever there is no
    stream, each check is the client's own ``verify_token``. So it never accepts what it does not know:
    where the service is away, checks raise ``ServiceUnavailable`` or ``DeadlineExceeded``.

    Args:
        client: what checks are made with; to be closed after the verifier.
        max_staleness: for so many seconds after a session's end was acknowledged, a check may still accept
            its tokens. More than 0, at most 60.
        max_tokens: the most answers to remember, about 1 KiB each; the least recently used go.
        touch_interval: seconds after which a token in use is checked again in the background, so that its
            session does not become idle for the service. Keep it below the service's idle time-out.

    Raises:
        RuntimeError: no event loop runs.
        ValueError: a limit is broken.
    """

    def __init__(
        self,
        client: AsyncSessionClient,
        *,
        max_staleness: float = 1.0,
        max_tokens: int = 10_000,
        touch_interval: float = 60.0,
    ) -> None:
        check_limits(max_staleness, max_tokens, touch_interval)
        loop = asyncio.get_running_loop()
        self._client = client
        self._calls = client._calls  # noqa: SLF001 - a part of the client in a module of its own
        self._stub = client._stub  # noqa: SLF001
        self._watching: Watching[_Answer] = Watching(
            max_staleness=max_staleness,
            max_tokens=max_tokens,
            touch_interval=touch_interval,
            patience=self._calls.read_timeout,
            new_answer=loop.create_future,
        )
        self._remembered = self._watching.remembered
        self._reopening = Reopening()
        self._to_send = asyncio.Event()
        self._call: _Call | None = None
        self._closed = False
        self._running = loop.create_task(self._run(), name="session-client-verifier")

    async def verify(self, access_token: str, *, timeout: float | None = None) -> Identity:
        """Check an access token: its session is alive, or was within the last ``max_staleness``.

        Only ``TokenError`` means "not logged in". ``ServiceUnavailable`` says nothing either way.

        Args:
            access_token: without ``Bearer``.
            timeout: seconds it may take in all instead of the client's default for reads.

        Raises:
            TokenMissing: it is empty.
            TokenInvalid: it is not one of this service's.
            TokenExpired: it is past its expiry.
            SessionEnded: its session is over.
            SessionClientError: and all else that the client's ``verify_token`` raises.
        """
        identity = self._remembered(access_token, steady())
        return await self._verify(access_token, timeout) if identity is None else identity

    async def close(self) -> None:
        """End the stream. Checks that wait for it fail; later ones raise ``RuntimeError``."""
        self._closed = True
        self._watching.lost()
        self._running.cancel()
        await asyncio.wait([self._running])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _verify(self, token: str, timeout: float | None) -> Identity:
        if self._closed:
            raise closed()
        refuse_at_sight(token)
        began = steady()
        known = self._ask(token, began)
        if isinstance(known, Identity):
            return known
        if known is None:
            return await self._client.verify_token(token, timeout=timeout)
        deadline = began + (self._calls.read_timeout if timeout is None else timeout)
        # Unlike `wait_for`, it leaves the answer alone when this one waiter is cancelled.
        await asyncio.wait([known.answer], timeout=deadline - began)
        if not known.answer.done():
            self._give_up_if_stalled()
            raise too_late()
        identity = answered(known.answer.result())
        if identity is None:
            return await self._verify_by_call(token, deadline)
        return identity

    async def _verify_by_call(self, token: str, deadline: float) -> Identity:
        if self._closed or self._calls.closed:
            raise closed_meanwhile()
        return await self._client.verify_token(token, timeout=max(0.0, deadline - steady()))

    def _ask(self, token: str, now: float) -> Identity | Question[_Answer] | None:
        self._give_up_if_stalled()
        known = self._watching.ask(token, now)
        if self._watching.has_unsent:
            self._to_send.set()
        return known

    def _give_up_if_stalled(self) -> None:
        """Take a stream that does not answer for dead. Only those who use it need to know, so no timer."""
        if self._watching.is_stalled(steady()):
            self._watching.lost()
            if self._call is not None:
                self._call.cancel()

    async def _run(self) -> None:
        """Keep a stream open until the verifier or its client is closed."""
        while not self._calls.closed:
            opened_at = steady()
            code = await self._watch()
            was_confirmed = self._watching.was_confirmed
            pause = self._reopening.pause(steady() - opened_at, code, was_confirmed=was_confirmed)
            await asyncio.sleep(pause)

    async def _watch(self) -> str:
        """Open a stream and take in what it says until it ends; returns the status it ended with."""
        self._watching.opened(steady())
        writing = None
        try:
            self._call = call = self._stub.WatchTokens()
            writing = asyncio.create_task(self._write(call))
            await self._read(call)
        except grpc.RpcError as error:
            return str(error.code().name)
        except asyncio.CancelledError:
            # Of the call, by `_give_up_if_stalled` or by a client that closes; not of this task?
            if task_is_cancelled():
                raise
            return grpc.StatusCode.CANCELLED.name
        except Exception as error:  # noqa: BLE001 - whatever broke it: it is over, and another may work
            return type(error).__name__
        else:
            return grpc.StatusCode.OK.name
        finally:
            self._watching.lost()
            if self._call is not None:
                self._call.cancel()
                self._call = None
            if writing is not None:
                writing.cancel()
                await asyncio.wait([writing])

    async def _read(self, call: _Call) -> None:
        async for message in call:
            self._watching.heard(message, steady())
            if self._watching.was_confirmed:
                self._reopening.confirmed()
            if self._watching.has_unsent:
                self._to_send.set()

    async def _write(self, call: _Call) -> None:
        # What breaks it breaks reading too, and is looked at there.
        with suppress(grpc.RpcError, asyncio.InvalidStateError):
            while True:
                self._to_send.clear()
                while (message := self._watching.next_message()) is not None:
                    await call.write(message)
                await self._to_send.wait()
