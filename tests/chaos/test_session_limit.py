"""I3: the limit of sessions holds at every moment, however many logins come at once from wherever."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import pytest
import redis

from session_service.storage import keys
from tests.support import RedisServer, eventually_async
from tests.support.in_process import ServiceUnderTest
from tests.support.outcomes import OK, outcome
from tests.support.redis_contents import counted, indexed_sessions, live_sessions

ServeTwo: TypeAlias = Callable[..., Awaitable[tuple[ServiceUnderTest, ServiceUnderTest]]]
LIMIT = 3
LOGINS = 80


@pytest.mark.parametrize("on_limit", ["evict_oldest", "reject"])
async def test_no_moment_has_more_sessions_than_allowed(
    serve_two: ServeTwo, one_redis: RedisServer, store: redis.Redis, on_limit: str
) -> None:
    """80 logins at once on two servers leave three sessions, and at no moment were there more."""
    services = await serve_two(session={"max_sessions": LIMIT, "on_limit": on_limit})
    with watched(one_redis) as sightings:
        logins = [services[number % 2].open_session() for number in range(LOGINS)]
        outcomes = Counter(await asyncio.gather(*map(outcome, logins)))
    assert max(sightings) <= LIMIT
    assert len(live_sessions(store)) == LIMIT
    assert indexed_sessions(store) == live_sessions(store)
    let_in = LOGINS if on_limit == "evict_oldest" else LIMIT
    assert outcomes[OK] == let_in
    assert outcomes["SESSION_LIMIT_REACHED"] == LOGINS - let_in
    await eventually_async(lambda: counted(store)["session_created"] == let_in)
    assert counted(store)["evict"] == let_in - LIMIT


async def test_those_evicted_are_out(serve_two: ServeTwo, store: redis.Redis) -> None:
    """Of many logins at once exactly those pass whose session was not evicted."""
    services = await serve_two(session={"max_sessions": LIMIT})
    opened = await asyncio.gather(*(services[number % 2].open_session() for number in range(LOGINS)))
    alive = {session_id for _, session_id in live_sessions(store)}
    for session in opened:
        expected = OK if session.session_id in alive else "SESSION_ENDED"
        assert await outcome(services[0].verify(session.access_token)) == expected


@contextmanager
def watched(server: RedisServer) -> Iterator[list[int]]:
    """Count the sessions in Redis again and again while the block runs, from a thread."""
    sightings: list[int] = []
    done = threading.Event()

    def look() -> None:
        with server.client() as client:
            while not done.is_set():
                # KEYS sees one moment, which a scan does not.
                sightings.append(len(client.keys(keys.ANY_SESSION)))

    thread = threading.Thread(target=look)
    thread.start()
    yield sightings
    done.set()
    thread.join()
