"""Connections that send whatever bytes they are told to: HTTP/1.1 as text, HTTP/2 frame by frame."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import hpack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.engine.carrier import Carrier

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = range(5)
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(5, 10)
END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CANCEL: Final = (8).to_bytes(4, "big")
_FRAME: Final = 16_384
_WAIT: Final = 10.0


@dataclass(frozen=True, slots=True)
class Response:
    """One response of HTTP/1."""

    status: int
    headers: dict[str, str]
    body: bytes


class Plain:
    """One connection on which bytes are sent as they are."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Send; what the other end does to the connection shows when it is read."""
        self.writer.write(data)
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()

    async def rest(self) -> bytes:
        """Everything until the end of the connection."""
        return await asyncio.wait_for(self.reader.read(), _WAIT)

    async def response(self, *, head: bool = False) -> Response:
        """The next response.

        Raises:
            EOFError: the connection ended before it.
        """
        block = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), _WAIT)
        first, *lines = block.decode("latin-1").strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = b"" if head else await self._body(headers)
        return Response(int(first.split()[1]), headers, body)

    async def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return await self.reader.readexactly(int(headers.get("content-length", 0)))
        body = b""
        while size := int(await asyncio.wait_for(self.reader.readline(), _WAIT), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readline()
        return body

    async def get(self, target: str = "/x") -> Response:
        """Make a request and read its response."""
        await self.send(f"GET {target} HTTP/1.1\r\nhost: h\r\n\r\n".encode())
        return await self.response()

    def close(self) -> None:
        """Break the connection."""
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def plain(carrier: Carrier, **options: object) -> AsyncIterator[Plain]:
    """Connect; the options are those of ``asyncio.open_connection``."""
    host, _, port = carrier.address.rpartition(":")
    connection = Plain(*await asyncio.open_connection(host, int(port), **options))  # type: ignore[arg-type]
    try:
        yield connection
    finally:
        connection.close()


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of HTTP/2."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame as it is sent."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _number(size: int) -> bytes:
    """A length in HPACK: seven bits, and the rest in bytes of seven bits."""
    if size < 0x7F:
        return bytes([size])
    encoded, size = bytearray([0x7F]), size - 0x7F
    while size >= 0x80:
        encoded.append(size & 0x7F | 0x80)
        size >>= 7
    encoded.append(size)
    return bytes(encoded)


def block(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Header fields in HPACK, each literally: any bytes may stand in them."""
    return b"".join(b"\0" + _number(len(n)) + n + _number(len(v)) + v for n, v in fields)


def fields(path: bytes = b"/x", verb: bytes = b"GET", **more: bytes) -> list[tuple[bytes, bytes]]:
    """The fields of a request."""
    whole = [(b":method", verb), (b":scheme", b"http"), (b":authority", b"h"), (b":path", path)]
    return whole + [(name.replace("_", "-").encode(), value) for name, value in more.items()]


def grpc(path: str, **more: bytes) -> list[tuple[bytes, bytes]]:
    """The fields of a call of gRPC."""
    return fields(path.encode(), b"POST", te=b"trailers", content_type=b"application/grpc", **more)


def message(data: bytes) -> bytes:
    """A message of gRPC with its prefix."""
    return b"\0" + len(data).to_bytes(4, "big") + data


def _split(payload: bytes) -> list[bytes]:
    """Into what fits into one frame; one piece at least."""
    return [payload[start : start + _FRAME] for start in range(0, len(payload) or 1, _FRAME)]


class Frames:
    """One connection of HTTP/2; nothing is acknowledged by itself except SETTINGS and PING."""

    def __init__(self, connection: Plain) -> None:
        self.connection = connection
        self.seen: list[Frame] = []
        self.last_stream = -1
        self._decoder = hpack.Decoder()
        self._decoder.max_allowed_table_size = 1 << 16
        self.answers_pings = True

    async def begin(self, settings: bytes = b"") -> None:
        """Send the preface."""
        await self.connection.send(PREFACE + frame(SETTINGS, 0, 0, settings))

    async def send(self, kind: int, flags: int, stream: int, payload: bytes = b"", *, times: int = 1) -> None:
        """Send a frame."""
        await self.connection.send(frame(kind, flags, stream, payload) * times)

    async def request(self, headers: list[tuple[bytes, bytes]], body: bytes | None = None) -> int:
        """Open a stream; without a body the request ends with its fields."""
        self.last_stream += 2
        first, *more = _split(block(headers))
        flags = (END_STREAM if body is None else 0) | (0 if more else END_HEADERS)
        whole = frame(HEADERS, flags, self.last_stream, first)
        for left, piece in zip(reversed(range(len(more))), more, strict=True):
            whole += frame(CONTINUATION, 0 if left else END_HEADERS, self.last_stream, piece)
        pieces = [] if body is None else _split(body)
        for left, piece in zip(reversed(range(len(pieces))), pieces, strict=True):
            whole += frame(DATA, 0 if left else END_STREAM, self.last_stream, piece)
        await self.connection.send(whole)
        return self.last_stream

    async def begin_request(self, headers: list[tuple[bytes, bytes]]) -> int:
        """Open a stream whose body is still to come."""
        self.last_stream += 2
        await self.send(HEADERS, END_HEADERS, self.last_stream, block(headers))
        return self.last_stream

    async def open_wide(self) -> None:
        """Let the server send as much as it likes on the connection, without a word each time."""
        await self.send(WINDOW_UPDATE, 0, 0, (0x7FFF_0000).to_bytes(4, "big"))

    async def reset(self, stream: int) -> None:
        """Cancel a stream."""
        await self.send(RST_STREAM, 0, stream, CANCEL)

    async def next(self) -> Frame | None:
        """The next frame; ``None`` at the end of the connection."""
        try:
            head = await asyncio.wait_for(self.connection.reader.readexactly(9), _WAIT)
            payload = await self.connection.reader.readexactly(int.from_bytes(head[:3], "big"))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        found = Frame(head[3], head[4], int.from_bytes(head[5:9], "big"), payload)
        self.seen.append(found)
        if found.kind == SETTINGS and not found.flags & ACK:
            await self.send(SETTINGS, ACK, 0)
        if found.kind == PING and not found.flags & ACK and self.answers_pings:
            await self.send(PING, ACK, 0, found.payload)
        return found

    async def until(self, *kinds: int, stream: int | None = None) -> Frame | None:
        """The next frame of these kinds; ``None`` at the end of the connection."""
        while found := await self.next():
            if found.kind in kinds and stream in {None, found.stream}:
                return found
        return None

    async def answer(self, stream: int) -> tuple[dict[str, str], bytes] | None:
        """The fields, trailers among them, and the body of an answer; ``None`` for a reset or an end."""
        headers: dict[str, str] = {}
        body = b""
        while found := await self.next():
            if found.kind == HEADERS:
                pairs = self._decoder.decode(found.payload)
                if found.stream == stream:
                    headers |= {str(name): str(value) for name, value in pairs}
            if found.stream != stream:
                continue
            if found.kind == RST_STREAM:
                return None
            if found.kind == DATA:
                body += found.payload
            if found.kind in {DATA, HEADERS} and found.flags & END_STREAM:
                return headers, body
        return None

    async def ended(self) -> list[Frame]:
        """Wait for the connection's end; the frames that came before."""
        while await self.next():
            pass
        return self.seen

    async def pinged(self) -> bool:
        """Whether the connection lives: everything sent before has been looked at."""
        token = b"%08d" % len(self.seen)
        await self.send(PING, 0, 0, token)
        while found := await self.until(PING):
            if found.flags & ACK and found.payload == token:
                return True
        return False


@contextlib.asynccontextmanager
async def frames(carrier: Carrier, settings: bytes = b"", **options: object) -> AsyncIterator[Frames]:
    """Connect by HTTP/2."""
    async with plain(carrier, **options) as connection:
        spoken = Frames(connection)
        await spoken.begin(settings)
        yield spoken
