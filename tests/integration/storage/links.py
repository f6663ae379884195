"""Links to a real Redis, and what they say unasked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from session_service.storage.dialling import dial, greet_primary, node_target
from session_service.storage.link import Link
from session_service.storage.settings import RedisSettings
from tests.support import LOOPBACK

TIMEOUT = 0.3
OpenLink = Callable[[int], Awaitable[Link]]


class Told:
    """Keeps what a link says unasked, and when it was lost."""

    def __init__(self) -> None:
        self.pushes: list[list[bytes] | None] = []
        self.losses = 0

    def invalidated(self, _link: Link, keys: list[bytes] | None) -> None:
        """Keep it."""
        self.pushes.append(keys)

    def lost(self, _link: Link) -> None:
        """Count it."""
        self.losses += 1


async def connection_to(port: int) -> Any:
    """A greeted connection of redis-py."""
    make, kwargs = node_target(RedisSettings(connect_timeout=2.0), (LOOPBACK, port))
    return await dial(make, redis_connect_func=greet_primary, **kwargs)
