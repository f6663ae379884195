"""What only the event loop's half has to stand: callers that are cancelled, and their contexts."""

from __future__ import annotations

import asyncio
import random
from contextvars import ContextVar
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from session_api.v1 import session_service_pb2 as pb
from session_client import DeadlineExceeded, ServiceUnavailable, Timeouts
from session_client._async_calls import AsyncCalls
from session_client._sharing_aio import AsyncSharedChecks

WHOSE: ContextVar[str] = ContextVar("WHOSE", default="nobody's")
TASKS = 120


def away() -> grpc.aio.AioRpcError:
    """A failure that says nothing of a token."""
    return grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata())


class Service:
    """Both methods of a service that answers with the number of checks that had begun when it was asked.

    Args:
        draw: how long it takes, and whether it fails.
    """

    def __init__(self, draw: random.Random) -> None:
        self.begun = 0
        self.contexts: list[str] = []
        self._draw = draw

    async def VerifyToken(  # noqa: N802 - the API's name
        self, _: pb.VerifyTokenRequest, **__: Any
    ) -> pb.VerifyTokenResponse:
        """Check one."""
        return await self._answer()

    async def BatchVerifyTokens(  # noqa: N802
        self, request: pb.BatchVerifyTokensRequest, **__: Any
    ) -> pb.BatchVerifyTokensResponse:
        """Check several."""
        self.contexts.append(WHOSE.get())
        answer = pb.TokenResult(verified=await self._answer())
        return pb.BatchVerifyTokensResponse(results=[answer] * len(request.tokens))

    async def _answer(self) -> pb.VerifyTokenResponse:
        now = self.begun
        for _ in range(self._draw.randrange(8)):
            await asyncio.sleep(0)
        if self._draw.random() < 0.1:
            raise away()
        return pb.VerifyTokenResponse(user_id=str(now))


def checks_of(service: Any) -> AsyncSharedChecks:
    """Shared checks over a stand-in for the stub."""
    channel: Any = None
    return AsyncSharedChecks(service, AsyncCalls(channel, Timeouts(read=30)), is_on=True)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_whatever_is_cancelled_or_fails_everybody_is_answered(seed: int) -> None:
    """None by a call that left before it began, and afterwards the next check goes alone and at once."""
    draw = random.Random(seed)  # noqa: S311 - nothing secret

    async def run() -> None:
        service = Service(draw)
        checks = checks_of(service)

        async def check() -> None:
            service.begun += 1
            began = service.begun
            try:
                identity = await checks.verify(f"t{draw.randrange(20)}", 30.0)
            except ServiceUnavailable:
                return
            assert int(identity.user_id) >= began

        tasks = []
        for _ in range(TASKS):
            tasks.append(asyncio.create_task(check()))
            if draw.random() < 0.2:
                draw.choice(tasks).cancel()
            for _ in range(draw.choice([0, 0, 0, 1, 3])):
                await asyncio.sleep(0)
        done, pending = await asyncio.wait(tasks, timeout=20)
        assert not pending
        assert not [task for task in done if not task.cancelled() and task.exception() is not None]
        await asyncio.gather(*checks._sending)
        await asyncio.sleep(0)
        assert not checks._sharing.waiting
        assert checks._sharing.begin()

    asyncio.run(run())


class Held(Service):
    """One that answers when it is let."""

    def __init__(self) -> None:
        super().__init__(random.Random(1))  # noqa: S311 - nothing secret
        self.let = asyncio.Event()

    async def _answer(self) -> pb.VerifyTokenResponse:
        await self.let.wait()
        return pb.VerifyTokenResponse(user_id="u")


async def settled() -> None:
    """Let every task go as far as it gets."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_the_first_is_cancelled_and_the_others_leave() -> None:
    """Who waited for its call is not left behind, and a caller who leaves takes nobody with it."""
    service = Held()
    checks = checks_of(service)
    first, second, third = [asyncio.create_task(checks.verify(token, None)) for token in "abc"]
    await settled()
    first.cancel()
    await settled()
    second.cancel()
    await settled()
    service.let.set()
    assert (await third).user_id == "u"
    assert first.cancelled()
    assert second.cancelled()


async def test_a_shared_call_is_made_in_nobodys_context() -> None:
    """What one caller keeps in its context, a trace or a user, is not seen by a call for others."""
    service = Held()
    checks = checks_of(service)

    async def check(name: str) -> None:
        WHOSE.set(name)
        await checks.verify(name, None)

    checking = [asyncio.create_task(check(name)) for name in "abc"]
    await settled()
    service.let.set()
    await asyncio.gather(*checking)
    assert service.contexts == ["nobody's"]


async def test_its_own_deadline_ends_a_check_before_its_call_ends() -> None:
    """Of two in one call the less patient leaves at its time."""
    service = Held()
    checks = checks_of(service)
    first, short, long = [
        asyncio.create_task(checks.verify(token, timeout))
        for token, timeout in (("a", 30.0), ("b", 0.05), ("c", 30.0))
    ]
    with pytest.raises(DeadlineExceeded):
        await short
    assert not long.done()
    service.let.set()
    await asyncio.gather(first, long)
