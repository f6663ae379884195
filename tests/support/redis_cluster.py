"""A Redis Cluster of three primaries on loopback, made through redis-py alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import redis

from tests.support.ports import LOOPBACK
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.redis_binaries import RedisBinary

SLOTS = 16_384
_PRIMARIES = 3
_JOIN_TIMEOUT = 30.0
_CLUSTER_CONFIG = {
    "cluster-enabled": "yes",
    "cluster-node-timeout": "2000",
    "cluster-require-full-coverage": "yes",
}


class RedisCluster:
    """Three primaries with a third of the slots each; starting waits until all agree on that.

    Args:
        binary: The program every node runs.
        config: Further lines of redis.conf for every node.
    """

    def __init__(self, binary: RedisBinary, config: Mapping[str, str] | None = None) -> None:
        node_config = _CLUSTER_CONFIG | dict(config or {})
        self.nodes = tuple(RedisServer(binary, node_config) for _ in range(_PRIMARIES))

    def __enter__(self) -> Self:
        """Start the nodes and join them."""
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the nodes and remove their directories."""
        self.close()

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Host and port of every node."""
        return tuple((LOOPBACK, node.port) for node in self.nodes)

    def start(self) -> None:
        """Start the nodes, hand out the slots, and wait until every node sees the whole cluster."""
        for epoch, node in enumerate(self.nodes, start=1):
            node.start()
            with node.client() as client:
                client.execute_command("CLUSTER SET-CONFIG-EPOCH", epoch)
                client.execute_command("CLUSTER ADDSLOTS", *_share(epoch - 1))
        with self.nodes[0].client() as client:
            for host, port in self.addresses[1:]:
                client.execute_command("CLUSTER MEET", host, port)
        eventually(lambda: all(map(_sees_all, self.nodes)), timeout=_JOIN_TIMEOUT)

    def client(self) -> redis.RedisCluster:
        """Return a new synchronous cluster client that answers in bytes; close it after use."""
        return redis.RedisCluster(host=LOOPBACK, port=self.nodes[0].port)

    def owner(self, key: str) -> RedisServer:
        """Return the node that serves the key under the slots as first handed out."""
        with self.nodes[0].client() as client:
            slot = int(client.execute_command("CLUSTER KEYSLOT", key))
        return next(node for index, node in enumerate(self.nodes) if slot in _share(index))

    def flush(self) -> None:
        """Remove every key and every cached script of every node."""
        for node in self.nodes:
            node.flush()

    def close(self) -> None:
        """Kill the nodes and remove their directories."""
        for node in self.nodes:
            node.close()


def _share(index: int) -> range:
    return range(SLOTS * index // _PRIMARIES, SLOTS * (index + 1) // _PRIMARIES)


def _sees_all(node: RedisServer) -> bool:
    with node.client() as client:
        info = client.execute_command("CLUSTER INFO")
    return (
        info["cluster_state"] == "ok"
        and int(info["cluster_slots_ok"]) == SLOTS
        and int(info["cluster_known_nodes"]) == _PRIMARIES
    )
