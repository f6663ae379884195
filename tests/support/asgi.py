"""Requests as Envoy's Python module hands them over, without Envoy: for tests of the engine alone."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from session_service.rpc.engines.asgi import Event
from session_service.rpc.engines.framing import framed

GRPC: Final[Mapping[str, str]] = {"content-type": "application/grpc", "te": "trailers"}


class Request:
    """One request: its scope, ``receive`` and ``send``, and what was sent.

    Args:
        path: which is called.
        *pieces: of the body, as they arrive.
        headers: besides those of every gRPC call, or instead of them; ``None`` leaves one out.
        ends: whether the body ends after the pieces; else more may come, by ``arrive``.
        client: the peer.
        tls: the scope's extension.
    """

    def __init__(
        self,
        path: str,
        *pieces: bytes,
        headers: Mapping[str, str | None] | None = None,
        ends: bool = True,
        client: tuple[str, int] | None = ("127.0.0.1", 50_000),
        tls: Mapping[str, Any] | None = None,
    ) -> None:
        fields = {**GRPC, **(headers or {})}
        self.scope: dict[str, Any] = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [
                (name.encode(), value.encode()) for name, value in fields.items() if value is not None
            ],
            "client": client,
            "extensions": {"http.response.trailers": {}} | ({"tls": tls} if tls is not None else {}),
        }
        self.sent: list[Event] = []
        self.reads = 0
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._ended = self._left = False
        for piece in pieces[:-1]:
            self.arrive(piece)
        if pieces or ends:
            self.arrive(pieces[-1] if pieces else b"", last=ends)

    async def receive(self) -> Event:
        """ASGI's; a request that was read answers at once, and with the client's leaving if it has left."""
        self.reads += 1
        if self._events.empty():
            if self._left:
                return {"type": "http.disconnect"}
            if self._ended:
                return {"type": "http.request", "body": b"", "more_body": False}
        return await self._events.get()

    async def send(self, event: Event) -> None:
        """ASGI's."""
        if self._left:
            raise OSError("client disconnected")
        await asyncio.sleep(0)
        self.sent.append(event)

    def arrive(self, piece: bytes, *, last: bool = False) -> None:
        """Let more of the body come."""
        self._ended = self._ended or last
        self._events.put_nowait({"type": "http.request", "body": piece, "more_body": not last})

    def leave(self) -> None:
        """Let the client go."""
        self._left = True
        self._events.put_nowait({"type": "http.disconnect"})

    @property
    def http_status(self) -> int:
        """The response's status."""
        return int(self._of("http.response.start")[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        """The response's header fields."""
        return _decoded(self._of("http.response.start")[0]["headers"])

    @property
    def trailers(self) -> dict[str, str]:
        """The fields that end the response: its trailers, or its headers where it has none."""
        trailers = self._of("http.response.trailers")
        return _decoded(trailers[0]["headers"]) if trailers else self.headers

    @property
    def only_trailers(self) -> bool:
        """Whether the status came in the headers."""
        return not self._of("http.response.trailers")

    @property
    def body(self) -> bytes:
        """The response's body."""
        return b"".join(event.get("body", b"") for event in self._of("http.response.body"))

    @property
    def messages(self) -> list[bytes]:
        """The messages in the body."""
        return unframed(self.body)

    @property
    def status(self) -> tuple[int, str]:
        """Number and text of gRPC's status."""
        trailers = self.trailers
        return int(trailers["grpc-status"]), unquote(trailers.get("grpc-message", ""))

    def _of(self, kind: str) -> list[Event]:
        return [event for event in self.sent if event["type"] == kind]


def message(text: bytes) -> bytes:
    """A message as it travels."""
    return framed(text)


def unframed(body: bytes) -> list[bytes]:
    """The messages in a body, none of which is compressed."""
    found = []
    while body:
        flag, size = struct.unpack_from(">BI", body)
        assert flag == 0
        found.append(body[5 : 5 + size])
        body = body[5 + size :]
    return found


def _decoded(fields: list[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in fields}
