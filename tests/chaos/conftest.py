"""Fixtures for attacks on the whole service: Redis servers to break, and services over them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.support import LOOPBACK, RedisBinary, RedisServer, redis_binaries
from tests.support.in_process import ServiceUnderTest, in_process

Serve: TypeAlias = Callable[..., Awaitable[ServiceUnderTest]]


@pytest.fixture(scope="session")
def one_binary() -> RedisBinary:
    """One redis-server, the system's if there is one: for tests that are dear and no matter of its age."""
    return redis_binaries()[-1]


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """A function that serves over a Redis; a second service of the test has the same keys.

    Its first argument is the Redis, or the section that says where it is; more are further sections.
    """
    async with AsyncExitStack() as services:

        async def start(
            redis: RedisServer | Mapping[str, Any], **sections: Mapping[str, Any]
        ) -> ServiceUnderTest:
            at = {"host": LOOPBACK, "port": redis.port} if isinstance(redis, RedisServer) else redis
            return await services.enter_async_context(in_process(at, tmp_path, **sections))

        yield start
