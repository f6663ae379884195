"""Every way of checking a token, with what each answered and when."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol

import grpc
import session_client as sdk
from session_api.v1 import session_service_pb2 as pb

from tests.support.errors import Failure
from tests.support.histories.calls import Outcome
from tests.support.service_client import ServiceClient, connect

BOUNDS: Final = (0.05, 1.0)
"""How stale checks may be that may be stale at all; seconds."""

AT_ONCE: Final = 64
"""How many checks one way may have under way."""

# Shorter than faults may last, so that what gives up after a time-out does so.
TIMEOUTS: Final = sdk.Timeouts(read=0.5, write=2.0)

_REFUSALS: Final = {"SESSION_ENDED", "TOKEN_EXPIRED"}
_NO_ANSWER: Final = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
}
_VERSION: Final = re.compile(r"v([0-9]+)")
_A_HIT_OF_THREADS: Final = 0.0002


@dataclass(frozen=True, slots=True)
class Answer:
    """What a check answered; the fields are those of ``Call``."""

    began: float
    ended: float
    outcome: Outcome
    version: int | None = None
    hit: bool = False
    detail: str = ""


class Way(Protocol):
    """A way of checking a token.

    ``burst`` is how many checks are begun at once, ``pause`` the seconds from one burst to the next.
    """

    name: str
    bound: float
    burst: int
    pause: float

    async def check(self, token: str) -> Answer:
        """Check a token; every failure is an answer."""


class ByCall:
    """``VerifyToken``, strictly or from the service's memory."""

    burst = 1
    pause = 0.005

    def __init__(self, client: ServiceClient, bound: float) -> None:
        self.name = f"memory {bound * 1000:g} ms" if bound else "strict"
        self.bound = bound
        self._client = client

    async def check(self, token: str) -> Answer:
        """Make the call."""
        request = pb.VerifyTokenRequest(token=token)
        if self.bound:
            request.max_staleness.FromTimedelta(timedelta(seconds=self.bound))
        began = time.monotonic()
        try:
            found = await self._client.sessions.VerifyToken(request, timeout=TIMEOUTS.read)
        except grpc.aio.AioRpcError as error:
            outcome, detail = judged(error, _REFUSALS)
            return Answer(began, time.monotonic(), outcome, detail=detail)
        return Answer(began, time.monotonic(), Outcome.DONE, version_of(found.roles))


class ByVerifier:
    """The SDK's verifier for asyncio."""

    burst = 4
    pause = 0.005

    def __init__(self, verifier: sdk.AsyncTokenVerifier, bound: float) -> None:
        self.name = f"sdk {bound * 1000:g} ms"
        self.bound = bound
        self._verifier = verifier

    async def check(self, token: str) -> Answer:
        """Ask the verifier; it is a hit if the event loop did not get a turn."""
        turns: list[bool] = []
        asyncio.get_running_loop().call_soon(turns.append, True)
        began = time.monotonic()
        try:
            identity = await self._verifier.verify(token)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is an answer
            return _failed(error, began)
        return Answer(began, time.monotonic(), Outcome.DONE, version_of(identity.roles), hit=not turns)


class BySharedCall:
    """The SDK's client for asyncio: strict checks that are under way at once share calls."""

    name = "shared strict"
    bound = 0.0
    burst = 4
    pause = 0.01

    def __init__(self, client: sdk.AsyncSessionClient) -> None:
        self._client = client

    async def check(self, token: str) -> Answer:
        """Check it, with whatever else is under way."""
        began = time.monotonic()
        try:
            identity = await self._client.verify_token(token)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is an answer
            return _failed(error, began)
        return Answer(began, time.monotonic(), Outcome.DONE, version_of(identity.roles))


class BySharedCallOfThreads:
    """The SDK's client for threads, from several at once."""

    name = "shared threads"
    bound = 0.0
    burst = 4
    pause = 0.02

    def __init__(self, client: sdk.SessionClient, threads: Executor) -> None:
        self._threads = threads
        self._client = client

    async def check(self, token: str) -> Answer:
        """Check it, with whatever else is under way."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._check, token)

    def _check(self, token: str) -> Answer:
        began = time.monotonic()
        try:
            identity = self._client.verify_token(token)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is an answer
            return _failed(error, began)
        return Answer(began, time.monotonic(), Outcome.DONE, version_of(identity.roles))


class ByThread:
    """The SDK's verifier for threads, from a thread."""

    burst = 2
    pause = 0.01

    def __init__(self, verifier: sdk.TokenVerifier, bound: float, threads: Executor) -> None:
        self._threads = threads
        self.name = f"threads {bound * 1000:g} ms"
        self.bound = bound
        self._verifier = verifier

    async def check(self, token: str) -> Answer:
        """Ask the verifier; it is a hit if that took no time."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._check, token)

    def _check(self, token: str) -> Answer:
        began = time.monotonic()
        try:
            identity = self._verifier.verify(token)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is an answer
            return _failed(error, began)
        ended = time.monotonic()
        hit = ended - began < _A_HIT_OF_THREADS
        return Answer(began, ended, Outcome.DONE, version_of(identity.roles), hit)


@asynccontextmanager
async def all_ways(address: str) -> AsyncIterator[list[Way]]:
    """Every way of checking through one address, each SDK client with a stream of its own."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(connect(address, ""))
        session_client = await stack.enter_async_context(sdk.AsyncSessionClient(address, timeouts=TIMEOUTS))
        ways: list[Way] = [ByCall(client, bound) for bound in (0.0, *BOUNDS)]
        for bound in BOUNDS:
            verifier = sdk.AsyncTokenVerifier(session_client, max_staleness=bound)
            ways.append(ByVerifier(await stack.enter_async_context(verifier), bound))
        ways.append(BySharedCall(session_client))
        ways += stack.enter_context(_by_thread(address, BOUNDS[0]))
        yield ways


@contextmanager
def _by_thread(address: str, bound: float) -> Iterator[list[Way]]:
    with (
        ThreadPoolExecutor(AT_ONCE) as threads,
        ThreadPoolExecutor(AT_ONCE) as others,
        sdk.SessionClient(address, timeouts=TIMEOUTS) as client,
        sdk.TokenVerifier(client, max_staleness=bound) as verifier,
    ):
        yield [ByThread(verifier, bound, threads), BySharedCallOfThreads(client, others)]


def judged(error: Any, refusals: set[str]) -> tuple[Outcome, str]:
    """What a stub's failure says, and its reason or status.

    Args:
        error: of grpc or grpc.aio.
        refusals: the reasons that mean that a credential is not good.
    """
    failure = Failure()
    failure.read(error)
    status = failure.code.name if failure.code else ""
    if failure.reason in refusals:
        return Outcome.REFUSED, failure.reason
    if failure.code in _NO_ANSWER:
        return Outcome.UNKNOWN, failure.reason or status
    return Outcome.BROKEN, f"{failure.reason or status}: {failure.message}"


def version_of(roles: Sequence[str]) -> int | None:
    """Which roles these are: one named ``v3`` is the third; ``None`` if they are others."""
    found = [_VERSION.fullmatch(role) for role in roles]
    return next((int(match[1]) for match in found if match), None)


def _failed(error: Exception, began: float) -> Answer:
    ended = time.monotonic()
    match error:
        case sdk.SessionEnded() | sdk.TokenExpired():
            return Answer(began, ended, Outcome.REFUSED, detail=error.reason)
        case sdk.ServiceUnavailable() | sdk.DeadlineExceeded() | sdk.RateLimited():
            return Answer(began, ended, Outcome.UNKNOWN, detail=error.reason or type(error).__name__)
        case sdk.SessionClientError(code="CANCELLED"):
            return Answer(began, ended, Outcome.UNKNOWN, detail="CANCELLED")
    return Answer(began, ended, Outcome.BROKEN, detail=f"{type(error).__name__}: {error}")
