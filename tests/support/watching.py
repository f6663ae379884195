"""Watching answers: a client of ``WatchTokens`` that shows every message, and a watch that remembers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import grpc
from session_api.v1 import session_service_pb2 as pb

from session_service.domain.watching import Watch

if TYPE_CHECKING:
    from tests.support.service_client import ServiceClient

_PATIENCE_SECONDS = 10


class Told(Watch):
    """Remembers whether it was told."""

    __slots__ = ("over",)

    def __init__(self) -> None:
        super().__init__()
        self.over = False

    def ended(self) -> None:
        """Remember it."""
        self.over = True


class WatchStream:
    """An open stream.

    Args:
        call: of the stub.
    """

    def __init__(self, call: Any) -> None:
        self.call = call
        self.pings = 0

    async def say(self, **request: Any) -> None:
        """Send a message."""
        await self.call.write(pb.WatchTokensRequest(**request))

    async def verify(self, number: int, token: str) -> None:
        """Ask for a check."""
        await self.say(verify=pb.WatchTokensRequest.Verify(id=number, token=token))

    async def ping(self) -> int:
        """Ask for a pong; returns its id."""
        self.pings += 1
        await self.say(ping=pb.WatchTokensRequest.Ping(id=self.pings))
        return self.pings

    async def forget(self, *numbers: int) -> None:
        """End watches."""
        await self.say(forget=pb.WatchTokensRequest.Forget(ids=numbers))

    async def heard(self) -> pb.WatchTokensResponse:
        """The next message."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            response: pb.WatchTokensResponse = await self.call.read()
            return response

    async def verified(self, number: int, token: str) -> pb.WatchTokensResponse.Verified:
        """Check a token; the answer is the next message."""
        await self.verify(number, token)
        answer = (await self.heard()).verified
        assert answer.id == number
        return answer

    async def end(self) -> None:
        """Read on until the stream has ended, well or not."""
        with contextlib.suppress(grpc.RpcError):
            while await self.call.read() is not grpc.aio.EOF:
                pass

    async def heard_before_pong(self) -> list[pb.WatchTokensResponse]:
        """Everything that is told before the pong of a ping that is sent now."""
        number, heard = await self.ping(), []
        while (message := await self.heard()).pong.id != number:
            heard.append(message)
        return heard


@contextlib.asynccontextmanager
async def watching(service: ServiceClient) -> AsyncIterator[WatchStream]:
    """Open a stream; it is cancelled at the end."""
    call = service.sessions.WatchTokens()
    try:
        yield WatchStream(call)
    finally:
        call.cancel()
