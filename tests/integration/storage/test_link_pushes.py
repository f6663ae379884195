"""Link: what Redis says unasked comes in order with the replies."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from session_service.domain.errors import StoreUnavailable
from session_service.domain.steady import steady
from tests.integration.storage.links import OpenLink, Told
from tests.support import RedisServer, eventually_async

TRACK = ("CLIENT", "TRACKING", "ON")


async def test_invalidations_come_in_order_with_the_replies(
    redis_server: RedisServer, open_link: OpenLink, told: Told
) -> None:
    """A change that was acknowledged is told before the reply of any PING that is sent later."""
    link = await open_link(redis_server.port)
    await link.send((TRACK,))
    with redis_server.client() as other:
        for number in range(200):
            key = f"key-{number}".encode()
            await link.send((("GET", key),))
            other.set(key, "changed")
            await link.confirmation()
            assert told.pushes[-1] == [key]
        other.flushall()
    await link.confirmation()
    assert told.pushes[-1] is None


async def test_a_link_tells_of_its_loss_at_once(
    redis_server: RedisServer, open_link: OpenLink, told: Told
) -> None:
    """Who follows a link hears of its loss before who waits for a reply, and once."""
    link = await open_link(redis_server.port)
    call = link.send((("PING",),))
    link.drop("lost")
    link.drop("lost again")
    assert told.losses == 1
    with pytest.raises(StoreUnavailable):
        await call


async def test_confirmed_is_when_the_newest_answered_call_was_sent(
    redis_server: RedisServer, open_link: OpenLink
) -> None:
    """It moves on with replies, never past the moment of sending, and not with what is unanswered."""
    link = await open_link(redis_server.port)
    before = steady()
    call = link.send((("PING",),))
    sent = steady()
    await call
    assert before <= link.confirmed <= sent
    confirmed = link.confirmed
    redis_server.pause()
    try:
        link.confirm_soon()
        link.confirm_soon()
        await eventually_async(link.lost.done)
    finally:
        redis_server.resume()
    assert link.confirmed == confirmed


async def test_those_who_ask_together_share_a_ping(redis_server: RedisServer, open_link: OpenLink) -> None:
    """One PING serves all who ask before it leaves; who asks later gets a later one."""
    link = await open_link(redis_server.port)
    first = link.confirmation()
    assert link.confirmation() is first
    await first
    assert link.confirmation() is not first


async def test_nobody_need_wait_for_a_sign(redis_server: RedisServer, open_link: OpenLink) -> None:
    """Who asked for one may be gone when the link is lost: asyncio has nothing to complain of."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    link = await open_link(redis_server.port)
    link.confirmation()
    await asyncio.sleep(0)  # it leaves
    link.drop("lost")
    await asyncio.sleep(0)
    gc.collect()
    assert not complaints
