"""What connections can do, or cannot."""

from __future__ import annotations

import pytest

from session_service.domain.errors import StoreUnavailable
from session_service.storage.connections import RedisConnections
from session_service.storage.faults import store_faults


async def works(connections: RedisConnections) -> bool:
    """Whether a change over the client shows in a read."""
    await connections.client.set("key", "value")
    return await connections.reads.read("key", ("GET", "key")) == [b"value"]


async def is_away(connections: RedisConnections) -> bool:
    """Whether reads are unavailable."""
    return not await connections.ping()


async def is_refused(connections: RedisConnections) -> bool:
    """Whether both changes and reads are unavailable."""
    with pytest.raises(StoreUnavailable), store_faults():
        await connections.client.set("key", "value")
    with pytest.raises(StoreUnavailable):
        await connections.reads.read("key", ("GET", "key"))
    return await is_away(connections)
