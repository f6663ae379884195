"""Where connections come from, and how many: unix sockets, several listeners, no descriptors left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.engine.carrier import ECHO, Carrier
from tests.engine.wire import Plain, plain
from tests.support.waiting import eventually_async

Carry = Callable[..., Carrier]


async def test_a_unix_socket(carry: Carry, tmp_path: Path) -> None:
    """A unix socket."""
    carrier = carry()
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        carrier.engine.listen(listener.detach())
    reader, writer = await asyncio.open_unix_connection(path)
    assert (await Plain(reader, writer).get("/x")).status == 200
    writer.close()
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        echo: Any = channel.unary_unary(ECHO)
        assert await echo(b"a") == b"a"
    assert [call.peer for call in carrier.calls] == ["unix:", "unix:"]


async def test_several_listeners_and_ipv6(carry: Carry) -> None:
    """Several listeners and IPv6."""
    carrier = carry()
    second = carrier.listen()
    try:
        sixth = carrier.listen("::1", socket.AF_INET6)
    except OSError:
        sixth = 0
    for host, port in (("127.0.0.1", carrier.port), ("127.0.0.1", second), ("::1", sixth)):
        if not port:
            continue
        reader, writer = await asyncio.open_connection(host, port)
        local = writer.get_extra_info("sockname")[1]
        assert json.loads((await Plain(reader, writer).get("/x")).body)["path"] == "/x"
        writer.close()
        spelled = f"ipv6:%5B::1%5D:{local}" if ":" in host else f"ipv4:{host}:{local}"
        assert carrier.calls[-1].peer == spelled


async def test_connections_beyond_the_limit_are_closed_at_once(carry: Carry) -> None:
    """Connections beyond the limit are closed at once."""
    carrier = carry(connections=3)
    open_connections = [await asyncio.open_connection("127.0.0.1", carrier.port) for _ in range(3)]
    await eventually_async(lambda: carrier.count("connections") == 3)
    async with plain(carrier) as beyond:
        assert await beyond.rest() == b""
    assert carrier.count("refused_connections") == 1
    for _, writer in open_connections[:1]:
        writer.close()
    await eventually_async(lambda: carrier.count("connections") == 2)
    async with plain(carrier) as connection:
        assert (await connection.get("/x")).status == 200
    for _, writer in open_connections[1:]:
        writer.close()


async def test_silent_connections_leave_in_time(carry: Carry) -> None:
    """Silent connections leave in time."""
    carrier = carry(connections=50, handshake_seconds=0.2)
    silent = [await asyncio.open_connection("127.0.0.1", carrier.port) for _ in range(50)]
    await eventually_async(lambda: carrier.count("connections") == 0)
    assert carrier.count("failed_handshakes") == 50
    async with plain(carrier) as connection:
        assert (await connection.get("/x")).status == 200
    for _, writer in silent:
        writer.close()


async def test_without_descriptors_it_lives_and_accepts_again(carry: Carry) -> None:
    """Without descriptors it lives and accepts again."""
    carrier = carry()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as client:
        client.setblocking(False)
        highest = _highest_descriptor()
        used: list[int] = []
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, before[1]))
            with contextlib.suppress(OSError):
                while True:
                    used.append(os.dup(client.fileno()))
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", carrier.port))
            await asyncio.get_running_loop().sock_sendall(client, b"GET /x HTTP/1.1\r\nhost: h\r\n\r\n")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 100), 0.3)
            assert carrier.calls == []
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            for descriptor in used:
                os.close(descriptor)
        answer = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 100), 5)
        assert answer.startswith(b"HTTP/1.1 200 OK")


def _highest_descriptor() -> int:
    return max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())


async def test_a_negative_descriptor_is_an_error(carry: Carry) -> None:
    """A negative descriptor is an error."""
    with pytest.raises(OSError, match="not a descriptor"):
        carry().engine.listen(-1)
