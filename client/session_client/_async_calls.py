"""How every call is made: its time-out, its credential, its failure, and lists page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import grpc

from session_client._channel import Timeouts
from session_client._failures import TRANSLATED
from session_client._requests import Metadata
from session_client._results import Page

T = TypeVar("T")
Request = TypeVar("Request")
Response = TypeVar("Response")


class AsyncCalls:
    """Makes the calls of one channel, until it is closed."""

    def __init__(self, channel: grpc.aio.Channel, timeouts: Timeouts) -> None:
        self._channel = channel
        self._timeouts = timeouts
        self.closed = False

    @property
    def read_timeout(self) -> float:
        """How long a call that changes nothing may take, unless told otherwise; seconds."""
        return self._timeouts.read

    async def read(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        metadata: Metadata,
        timeout: float | None,
    ) -> Response:
        """Make a call that changes nothing."""
        return await self._call(method, request, metadata, timeout, default=self._timeouts.read)

    async def write(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        metadata: Metadata,
        timeout: float | None,
    ) -> Response:
        """Make a call that changes something."""
        return await self._call(method, request, metadata, timeout, default=self._timeouts.write)

    async def close(self) -> None:
        """Close the channel; calls under way fail."""
        self.closed = True
        await self._channel.close()

    async def _call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        metadata: Metadata,
        timeout: float | None,
        default: float,
    ) -> Response:
        if self.closed:
            raise RuntimeError("the client is closed")
        with TRANSLATED:
            return await method(request, timeout=default if timeout is None else timeout, metadata=metadata)


async def each(fetch: Callable[[str], Awaitable[Page[T]]]) -> AsyncIterator[T]:
    """The items of all pages; ``fetch`` gets a page by its token, the first by an empty one."""
    page_token = ""
    while True:
        page = await fetch(page_token)
        for item in page.items:
            yield item
        page_token = page.next_page_token
        if not page_token:
            return
