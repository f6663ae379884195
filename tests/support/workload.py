"""A lively service: sessions that begin, are renewed and end, while a test breaks things underneath."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

import grpc

from tests.support.errors import Failure
from tests.support.outcomes import OK
from tests.support.service_client import ServiceClient

T = TypeVar("T")

_UNANSWERED = "STORE_UNAVAILABLE"


class Workload:
    """Clients that live one session after the other, and repeat what was not answered, until stopped.

    Args:
        *services: the clients are spread over them.
        clients: how many there are.
        unanswered: reasons that mean no answer; the empty one is a call that lost its server.
    """

    def __init__(
        self, *services: ServiceClient, clients: int = 8, unanswered: Collection[str] = (_UNANSWERED,)
    ) -> None:
        self.alive: set[str] = set()
        """Access tokens of sessions whose beginning was acknowledged and that nobody asked to end."""
        self.ended: set[str] = set()
        """Access tokens of sessions whose end was acknowledged."""
        self.outcomes: Counter[str] = Counter()
        """What was answered, by reason."""
        self._unanswered = unanswered
        self._stopping = False
        self._numbers = itertools.count()
        self._clients = [
            asyncio.create_task(self._repeat(services[place % len(services)])) for place in range(clients)
        ]

    async def stop(self) -> None:
        """Let each client end the life it is at; the service must answer again by then."""
        self._stopping = True
        await asyncio.gather(*self._clients)

    async def _repeat(self, service: ServiceClient) -> None:
        while not self._stopping:
            await self._live(service, next(self._numbers))

    async def _live(self, service: ServiceClient, number: int) -> None:
        opened = await self._answered(
            lambda: service.open_session(f"u-{number % 5}", request_id=f"r-{number}")
        )
        assert opened is not None
        token = opened.access_token
        await self._answered(lambda: service.verify(token))
        await self._answered(lambda: service.refresh(opened.refresh_token))
        if number % 2:
            self.alive.add(token)
            return
        # Repeated after a lost reply it is SESSION_ENDED, which is as good.
        await self._answered(lambda: service.logout(token), "SESSION_ENDED")
        self.ended.add(token)

    async def _answered(self, call: Callable[[], Awaitable[T]], also_good: str | None = None) -> T | None:
        """Repeat a call until it is answered."""
        while True:
            try:
                answer = await call()
            except grpc.aio.AioRpcError as error:
                failure = Failure()
                failure.read(error)
                self.outcomes[failure.reason] += 1
                if failure.reason == also_good:
                    return None
                if failure.reason not in self._unanswered:
                    raise
            else:
                self.outcomes[OK] += 1
                return answer
