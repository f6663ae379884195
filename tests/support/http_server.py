"""A tiny HTTP/1.1 server around an ``HttpHandler``, where no engine serves it yet."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from session_service.rpc.http import HttpHandler, HttpRequest
from tests.support.ports import LOOPBACK


@contextlib.asynccontextmanager
async def serve_http(handler: HttpHandler) -> AsyncIterator[str]:
    """Serve around a block, one request a connection and without bodies; gives the address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            response = await handler(_request(head))
            lines = [f"HTTP/1.1 {response.status} Status", f"content-length: {len(response.body)}"]
            lines += ["connection: close", *(f"{name}: {value}" for name, value in response.headers)]
            writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + response.body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, LOOPBACK, 0)
    async with server:
        host, port = server.sockets[0].getsockname()[:2]
        yield f"{host}:{port}"


def _request(head: str) -> HttpRequest:
    first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    path, _, query = target.partition("?")
    pairs = (line.partition(":") for line in lines)
    return HttpRequest(method, path, query, [(name.lower(), value.strip()) for name, _, value in pairs])
