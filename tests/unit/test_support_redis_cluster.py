"""RedisCluster: three primaries that answer for all slots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis

if TYPE_CHECKING:
    from tests.support import RedisCluster

KEYS = [f"key-{number}" for number in range(60)]


def test_keys_of_all_slots_are_served(redis_cluster: RedisCluster) -> None:
    """Keys that fall on all three nodes can be written and read through one client."""
    with redis_cluster.client() as client:
        for key in KEYS:
            client.set(key, key)
        assert [client.get(key) for key in KEYS] == [key.encode() for key in KEYS]
    assert {redis_cluster.owner(key).port for key in KEYS} == {port for _, port in redis_cluster.addresses}


def test_a_node_redirects_what_is_not_its_own(redis_cluster: RedisCluster) -> None:
    """A node that does not own a key answers MOVED with the owner's address."""
    owner = redis_cluster.owner("key")
    other = next(node for node in redis_cluster.nodes if node is not owner)
    with other.client() as client, pytest.raises(redis.ResponseError, match=f"{owner.port}"):
        client.get("key")
