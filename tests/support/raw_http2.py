"""An HTTP/2 client without manners: it does what no gRPC library would let a caller do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

_CONFIG: Final = h2.config.H2Configuration(
    client_side=True,
    header_encoding="latin-1",  # an answer may repeat what was no UTF-8
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
)


@dataclass(slots=True)
class Answer:
    """What came back on one stream."""

    stream: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)
    reset: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def code(self) -> int | None:
        """The number of gRPC's status, wherever it stands."""
        found = self.trailers.get("grpc-status", self.headers.get("grpc-status"))
        return None if found is None else int(found)

    @property
    def text(self) -> str:
        """The text of gRPC's status."""
        return unquote(self.trailers.get("grpc-message", self.headers.get("grpc-message", "")))

    @property
    def http_status(self) -> int:
        """HTTP's status; 0 without an answer."""
        return int(self.headers.get(":status", 0))


class RawHttp2:
    """One connection to a gRPC server; see ``raw_http2``."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, takes_answers: bool = True
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._takes_answers = takes_answers
        self._answers: dict[int, Answer] = {}
        self._room = asyncio.Event()
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

    async def open(
        self,
        path: str,
        *pieces: bytes,
        end: bool = True,
        headers: Mapping[str, str | None] = MappingProxyType({}),
    ) -> Answer:
        """Begin a call; returns what will have been answered.

        Args:
            path: the method.
            *pieces: of the body, each in DATA frames of its own.
            end: whether the request ends after them.
            headers: besides gRPC's own, or instead of them; ``None`` leaves one out.
        """
        stream = self._http2.get_next_available_stream_id()
        answer = self._answers[stream] = Answer(stream)
        self._http2.send_headers(stream, _headers(path, headers), end_stream=end and not pieces)
        for piece in pieces:
            await self.send(answer, piece)
        if end and pieces and not self.closed:
            with contextlib.suppress(h2.exceptions.StreamClosedError):
                self._http2.end_stream(stream)
        await self._drain()
        return answer

    async def call(
        self, path: str, *pieces: bytes, headers: Mapping[str, str | None] = MappingProxyType({})
    ) -> Answer:
        """Make a call and wait for its end, or the connection's; as ``open``."""
        answer = await self.open(path, *pieces, headers=headers)
        await answer.over.wait()
        return answer

    async def send(self, answer: Answer, piece: bytes) -> None:
        """Send more of a request, as far as the server takes it."""
        while piece and not (self.closed or answer.over.is_set()):
            room = min(
                self._http2.local_flow_control_window(answer.stream), self._http2.max_outbound_frame_size
            )
            if room:
                self._http2.send_data(answer.stream, piece[:room])
                piece = piece[room:]
                await self._drain()
            else:
                self._room.clear()
                await self._room.wait()

    async def open_and_reset(self, path: str, times: int) -> int:
        """Open streams and reset each at once (rapid reset, CVE-2023-44487); how many before it closed."""
        for number in range(times):
            if self.closed:
                return number
            stream = self._http2.get_next_available_stream_id()
            self._http2.send_headers(stream, _headers(path, {}))
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
            # In one go: Envoy counts those that it has not answered yet, grpc.aio those without data between.
            if number % 2_000 == 0:
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
                try:
                    events = self._http2.receive_data(data)
                except h2.exceptions.ProtocolError:  # h2 takes nothing that follows a GOAWAY
                    break
                for event in events:
                    self._take(event)
                self._room.set()
                self._flush()
                if any(isinstance(event, h2.events.ConnectionTerminated) for event in events):
                    break
        self._room.set()
        for answer in self._answers.values():
            answer.over.set()
        self.close()

    def _take(self, event: Any) -> None:
        answer = self._answers.get(getattr(event, "stream_id", 0) or 0)
        if answer is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            answer.headers = _texts(event.headers)
        elif isinstance(event, h2.events.TrailersReceived):
            answer.trailers = _texts(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            answer.body += event.data
            if self._takes_answers:
                self._http2.acknowledge_received_data(event.flow_controlled_length or 0, answer.stream)
        elif isinstance(event, h2.events.StreamReset):
            answer.reset = True
            answer.over.set()
        elif isinstance(event, h2.events.StreamEnded):
            answer.over.set()


@contextlib.asynccontextmanager
async def raw_http2(address: str, *, takes_answers: bool = True) -> AsyncIterator[RawHttp2]:
    """Connect to host:port.

    Args:
        address: of the server.
        takes_answers: whether it makes room for more of an answer; else the server has to wait.
    """
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    connection = RawHttp2(reader, writer, takes_answers=takes_answers)
    try:
        yield connection
    finally:
        connection.close()
        await connection.closes()


def _texts(fields: Any) -> dict[str, str]:
    return {str(name): str(value) for name, value in fields}


def _headers(path: str, fields: Mapping[str, str | None]) -> list[tuple[bytes, bytes]]:
    """The header fields of a request; a surrogate escape stands for a byte that is not UTF-8."""
    whole: dict[str, str | None] = {
        ":method": "POST",
        ":scheme": "http",
        ":authority": "localhost",
        ":path": path,
        "te": "trailers",
        "content-type": "application/grpc",
    }
    given = [(name, value) for name, value in (whole | dict(fields)).items() if value is not None]
    return [(_raw(name), _raw(value)) for name, value in given]


def _raw(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
