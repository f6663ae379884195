"""RedisSentinel: a failover that really happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support import RedisSentinel

if TYPE_CHECKING:
    from tests.support import RedisBinary


def test_the_replica_becomes_the_primary(redis_binary: RedisBinary) -> None:
    """Once the primary is killed, the Sentinel names the replica, which has the data and takes writes."""
    with RedisSentinel(redis_binary) as sentinel:
        with sentinel.primary.client() as client:
            client.set("key", "value")
            assert client.wait(1, 5000) == 1
        old = sentinel.primary
        new = sentinel.fail_over()
        assert new is not old
        assert sentinel.primary is new
        with new.client() as client:
            assert client.get("key") == b"value"
            client.set("key", "new")
