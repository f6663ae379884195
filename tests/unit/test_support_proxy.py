"""The proxy keeps bytes in their order, whatever it is told while they are on their way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from tests.support.histories.client_process import block
from tests.support.ports import LOOPBACK
from tests.support.proxy import TcpProxy

LINES = [f"{number}\n".encode() for number in range(200)]


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """A server that answers with what it is sent; gives its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    async with await asyncio.start_server(answer, LOOPBACK, 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_replies_keep_their_order_when_a_delay_ends() -> None:
    """What is sent without delay does not overtake what was delayed."""
    async with echo() as port, TcpProxy(port) as proxy:
        reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
        proxy.delay = 0.05
        for number, line in enumerate(LINES):
            writer.write(line)
            await writer.drain()
            await asyncio.sleep(0)
            if number == len(LINES) // 2:
                proxy.delay = 0.0
        assert [await reader.readline() for _ in LINES] == LINES
        writer.close()


async def test_replies_keep_their_order_though_the_loop_is_busy() -> None:
    """What is overdue and not yet sent is not overtaken, however often the delay comes and goes."""
    async with echo() as port, TcpProxy(port) as proxy:
        reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
        busy = asyncio.create_task(_keep_busy())
        for number, line in enumerate(LINES * 10):
            proxy.delay = 0.03 if number % 600 < 300 else 0.0
            writer.write(line)
            await asyncio.sleep(0)
        assert [await reader.readline() for _ in LINES * 10] == LINES * 10
        busy.cancel()
        writer.close()


async def _keep_busy() -> None:
    """Give the event loop turns of up to three milliseconds."""
    draw = random.Random(1)  # noqa: S311 - a plan that can be repeated
    while True:
        block(draw.uniform(0, 0.003))
        await asyncio.sleep(0)


@pytest.mark.parametrize("direction", ["hold_replies", "hold_requests"])
async def test_what_is_held_comes_in_order_once_it_is_let_go(direction: str) -> None:
    """Nothing comes before, nothing is lost."""
    async with echo() as port, TcpProxy(port) as proxy:
        reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
        setattr(proxy, direction, True)
        writer.writelines(LINES)
        first = asyncio.create_task(reader.readline())
        done, _ = await asyncio.wait([first], timeout=0.05)
        assert not done
        setattr(proxy, direction, False)
        assert [await first, *[await reader.readline() for _ in LINES[1:]]] == LINES
        writer.close()


async def test_only_a_connection_that_is_told_of_changes_has_its_word_held() -> None:
    """Another one goes on."""
    async with echo() as port, TcpProxy(port) as proxy:
        told, told_writer = await asyncio.open_connection(LOOPBACK, proxy.port)
        other, other_writer = await asyncio.open_connection(LOOPBACK, proxy.port)
        told_writer.write(b"CLIENT TRACKING ON\n")
        assert await told.readline() == b"CLIENT TRACKING ON\n"
        proxy.hold_word = True
        for writer in (told_writer, other_writer):
            writer.write(b"after\n")
        assert await other.readline() == b"after\n"
        held = asyncio.create_task(told.readline())
        done, _ = await asyncio.wait([held], timeout=0.05)
        assert not done
        proxy.hold_word = False
        assert await held == b"after\n"
        told_writer.close()
        other_writer.close()


async def test_a_server_that_is_away_is_away_behind_the_proxy_too() -> None:
    """The connection is broken or closed, and not left open."""
    async with echo() as port:
        pass
    async with TcpProxy(port) as proxy:
        reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
        with suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
