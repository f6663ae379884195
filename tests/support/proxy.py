"""A TCP proxy on loopback that loses, holds, splits or forges what it carries."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Self

from tests.support.ports import LOOPBACK
from tests.support.waiting import eventually_async

_FOREVER = float("inf")


class TcpProxy:
    """Stands between a client and a server; the attributes may be changed at any time.

    Args:
        port: The server's port on loopback.
    """

    def __init__(self, port: int) -> None:
        self.swallow_replies = False
        """Drop what the server sends: commands are done and their answers lost."""
        self.swallowed: list[bytes] = []
        """What was dropped, as it came."""
        self.chunk = 0
        """Pass replies on in pieces of so many bytes; 0 as they come."""
        self.cut_after: int | None = None
        """Break every connection after so many more bytes of replies."""
        self.delay = 0.0
        """Hold what the server sends for so many seconds."""
        self.hold_replies = False
        """Keep what the server sends, in order, until this is taken back."""
        self.hold_word = False
        """As ``hold_replies``, on one connection alone, over which Redis tells of changes."""
        self.hold_requests = False
        """Keep what the clients send, in order, until this is taken back."""
        self.lose_reply_to = b""
        """Break the next connection that asks for this, once the server has answered."""
        self.requested: list[bytes] | None = None
        """Set to a list, it gets what the clients send, as it comes."""
        self.connections = 0
        """How many connections there have been."""
        self.port = 0
        self._target = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._doomed: set[asyncio.StreamWriter] = set()
        self._told_of_changes: list[asyncio.StreamWriter] = []
        self._delayed: dict[asyncio.StreamWriter, deque[tuple[float, bytes]]] = {}

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._accept, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening and break every connection."""
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Break every connection."""
        for writer in self._writers:
            writer.transport.abort()

    def forge_reply(self, data: bytes) -> None:
        """Send the clients bytes that the server never sent."""
        for writer in self._clients:
            writer.write(data)

    async def _accept(self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            server_reader, server_writer = await asyncio.open_connection(LOOPBACK, self._target)
        except OSError:
            client_writer.transport.abort()
            return
        self._writers |= {client_writer, server_writer}
        self._clients.add(client_writer)
        for pump in (
            self._requests(client_reader, server_writer, client_writer),
            self._replies(server_reader, client_writer),
        ):
            task = asyncio.create_task(pump)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        while data := await _receive(reader):
            if self.requested is not None:
                self.requested.append(data)
            if b"TRACKING" in data:
                self._told_of_changes.append(client)
            if self.lose_reply_to and self.lose_reply_to in data:
                self.lose_reply_to = b""
                self._doomed.add(client)
            await eventually_async(lambda: writer.is_closing() or not self.hold_requests, timeout=_FOREVER)
            _send(writer, data)
        writer.transport.abort()

    async def _replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await _receive(reader):
            if self.swallow_replies:
                self.swallowed.append(data)
                continue
            if writer in self._doomed:
                writer.transport.abort()
                break
            await eventually_async(lambda: writer.is_closing() or not self._holds(writer), timeout=_FOREVER)
            if self._is_delayed(data, writer):
                continue
            if self.cut_after is not None:
                data, self.cut_after = data[: self.cut_after], max(0, self.cut_after - len(data))
            await self._pass_on(data, writer)
            if self.cut_after == 0:
                await writer.drain()
                break
        self._clients.discard(writer)
        if writer in self._told_of_changes:
            self._told_of_changes.remove(writer)
        if writer not in self._delayed:
            writer.close()

    def _holds(self, client: asyncio.StreamWriter) -> bool:
        return self.hold_replies or (self.hold_word and client in self._told_of_changes[:1])

    def _is_delayed(self, data: bytes, writer: asyncio.StreamWriter) -> bool:
        """Send later, if there is a delay, or if something is still to be sent before."""
        if not self.delay and writer not in self._delayed:
            return False
        queue = self._delayed.setdefault(writer, deque())
        queue.append((asyncio.get_running_loop().time() + self.delay, data))
        if len(queue) == 1:
            self._send_due(writer)
        return True

    def _send_due(self, writer: asyncio.StreamWriter) -> None:
        """Send what is due. One timer for all: two that are overdue could fire after what came later."""
        loop, queue = asyncio.get_running_loop(), self._delayed[writer]
        while queue and queue[0][0] <= loop.time():
            _send(writer, queue.popleft()[1])
        if queue:
            loop.call_at(queue[0][0], self._send_due, writer)
            return
        del self._delayed[writer]
        if writer not in self._clients:
            writer.close()

    async def _pass_on(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        size = self.chunk or len(data) or 1
        for start in range(0, len(data), size):
            _send(writer, data[start : start + size])
            # One turn of the loop, so that the pieces do not leave together.
            drained = asyncio.ensure_future(writer.drain())
            await asyncio.wait([drained])
            drained.exception()  # a lost connection is told to whoever reads from it


def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    if not writer.transport.is_closing():
        writer.write(data)


async def _receive(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(65_536)
    except OSError:
        return b""
