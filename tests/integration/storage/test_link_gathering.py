"""One connection to Redis: what comes while replies are awaited leaves together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

from session_service.domain.errors import StoreUnavailable
from tests.integration.storage.links import OpenLink
from tests.support import RedisServer, eventually_async


async def test_what_comes_while_replies_are_awaited_leaves_together(
    redis_server: RedisServer, open_link: OpenLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls of several turns of the loop leave in a single write, when the last reply is in."""
    monkeypatch.setattr("session_service.storage.link.HOLD", 60.0)  # longer than any pause of the machine
    link = await open_link(redis_server.port)
    link._transport = Mock(wraps=link._transport)
    redis_server.pause()
    first = link.send((("PING",),))
    await asyncio.sleep(0)
    link._transport.write.assert_called_once()
    held = link.send((("ECHO", "held"),))
    calls = [held]
    for i in range(5):
        calls.append(link.send((("ECHO", str(i)), ("PING",))))
        await asyncio.sleep(0)
    link._transport.write.assert_called_once()
    redis_server.resume()
    assert await first == [b"PONG"]
    assert await asyncio.gather(*calls) == [[b"held"], *([str(i).encode(), b"PONG"] for i in range(5))]
    assert link._transport.write.call_count == 2


async def test_nothing_waits_long_for_a_reply(
    start_redis: Callable[..., RedisServer], open_link: OpenLink
) -> None:
    """After a millisecond commands leave although replies are still awaited."""
    server = start_redis()
    link = await open_link(server.port)
    transport: Any = Mock(wraps=link._transport)
    link._transport = transport
    server.pause()
    calls = [link.send((("PING",),))]
    await asyncio.sleep(0)
    calls.append(link.send((("PING",),)))
    await eventually_async(lambda: transport.write.call_count == 2)
    server.resume()
    assert await asyncio.gather(*calls) == [[b"PONG"]] * 2


async def test_far_from_redis_nothing_waits(redis_server: RedisServer, open_link: OpenLink) -> None:
    """Where a trip takes longer than commands may wait, each turn of the loop writes at once."""
    link = await open_link(redis_server.port)
    link._transport = Mock(wraps=link._transport)
    link._trip_seconds = 0.002
    redis_server.pause()
    calls = []
    for _ in range(3):
        calls.append(link.send((("PING",),)))
        await asyncio.sleep(0)
    assert link._transport.write.call_count == 3
    redis_server.resume()
    await asyncio.gather(*calls)


async def test_what_is_held_back_fails_with_the_link(
    redis_server: RedisServer, open_link: OpenLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that is lost while it holds calls back fails them and writes nothing any more."""
    monkeypatch.setattr("session_service.storage.link.HOLD", 60.0)
    link = await open_link(redis_server.port)
    link._transport = Mock(wraps=link._transport)
    calls = [link.send((("PING",),))]
    await asyncio.sleep(0)
    calls.append(link.send((("PING",),)))
    link.drop("lost")
    for call in calls:
        with pytest.raises(StoreUnavailable):
            await call
    link._flush()  # as the timer will
    link._transport.write.assert_called_once()
