# ruff: noqa: INP001 - scripts, not a package
"""A sample upstream: answers any request with what it got, as JSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Final

_END: Final = b"\r\n\r\n"


class Echo(asyncio.Protocol):
    """One connection, kept alive; a request's body is skipped. As much of HTTP/1.1 as a gateway speaks.

    Args:
        open_connections: has this one in it as long as it is open.
    """

    def __init__(self, open_connections: set[asyncio.Transport]) -> None:
        self._open_connections = open_connections
        self._buffer = b""
        self._skip = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to answer through."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what a TCP server gives
        self._transport = transport
        self._open_connections.add(transport)

    def connection_lost(self, _: Exception | None) -> None:
        """Forget it."""
        self._open_connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._buffer += data
        while not self._transport.is_closing():
            skipped = min(self._skip, len(self._buffer))
            self._buffer, self._skip = self._buffer[skipped:], self._skip - skipped
            head, end, rest = self._buffer.partition(_END)
            if self._skip or not end:
                return
            self._buffer = rest
            self._answer(head.decode("latin-1"))

    def _answer(self, head: str) -> None:
        request, *lines = head.split("\r\n")
        method, path, _ = request.split(" ", 2)
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            known = headers.get(name.lower())
            headers[name.lower()] = value.strip() if known is None else f"{known}, {value.strip()}"
        self._skip = int(headers.get("content-length", 0))
        told = json.dumps({"method": method, "path": path, "headers": headers}, indent=2) + "\n"
        # A body in chunks is not read, so nothing can follow it.
        last = "transfer-encoding" in headers
        fields = f"content-type: application/json\r\ncontent-length: {len(told)}\r\n"
        closing = "connection: close\r\n" if last else ""
        self._transport.write(f"HTTP/1.1 200 OK\r\n{fields}{closing}\r\n{told}".encode())
        if last:
            self._transport.close()


@contextlib.asynccontextmanager
async def serve(address: str) -> AsyncIterator[None]:
    """Serve on ``host:port`` around a block, and close every connection after it.

    Raises:
        OSError: it cannot be listened on.
    """
    host, _, port = address.rpartition(":")
    open_connections: set[asyncio.Transport] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Echo(open_connections), host, int(port))
    try:
        yield
    finally:
        server.close()
        while open_connections:
            for connection in open_connections:
                connection.abort()
            await asyncio.sleep(0)
