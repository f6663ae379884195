"""A primary with a replica, watched by a Sentinel that fails over within about two seconds."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Self

import redis

from tests.support.ports import LOOPBACK
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.redis_binaries import RedisBinary

_FAILOVER_TIMEOUT = 30.0


class RedisSentinel:
    """Two data nodes and one Sentinel with a quorum of one; starting waits until the replica is in step.

    Args:
        binary: The program every node runs.
        config: Further lines of redis.conf for the two data nodes.
    """

    service_name = "sessions"
    """The name under which the Sentinel knows the primary."""

    def __init__(self, binary: RedisBinary, config: Mapping[str, str] | None = None) -> None:
        # By default a primary waits five seconds for further replicas before it sends its data.
        shared = {"repl-diskless-sync-delay": "0"} | dict(config or {})
        self.first = RedisServer(binary, shared)
        self.second = RedisServer(binary, shared | {"replicaof": f"{LOOPBACK} {self.first.port}"})
        name = self.service_name
        monitoring = {
            f"sentinel monitor {name}": f"{LOOPBACK} {self.first.port} 1",
            f"sentinel down-after-milliseconds {name}": "500",
            f"sentinel failover-timeout {name}": "2000",
        }
        self.sentinel = RedisServer(binary, monitoring, sentinel=True)

    def __enter__(self) -> Self:
        """Start the nodes."""
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
    def address(self) -> tuple[str, int]:
        """Host and port of the Sentinel."""
        return LOOPBACK, self.sentinel.port

    @property
    def primary(self) -> RedisServer:
        """The data node that the Sentinel names as the primary now."""
        with self.sentinel.client() as client:
            _, port = client.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", self.service_name)
        return self.first if int(port) == self.first.port else self.second

    def start(self) -> None:
        """Start the nodes and wait until the Sentinel knows a replica that is in step."""
        self.first.start()
        self.second.start()
        self.sentinel.start()
        eventually(self._in_step, timeout=_FAILOVER_TIMEOUT)

    def fail_over(self) -> RedisServer:
        """Kill the primary, wait until the other node is one, and return that."""
        lost = self.primary
        lost.kill()
        new = self.second if lost is self.first else self.first
        eventually(
            lambda: self.primary is new and replication(new).get("role") == "master",
            timeout=_FAILOVER_TIMEOUT,
        )
        return new

    def close(self) -> None:
        """Kill the nodes, the Sentinel first, and remove their directories."""
        for node in (self.sentinel, self.second, self.first):
            node.close()

    def _in_step(self) -> bool:
        with self.sentinel.client() as client:
            replicas = client.execute_command("SENTINEL REPLICAS", self.service_name)
        return len(replicas) == 1 and replication(self.second).get("master_link_status") == "up"


def replication(node: RedisServer) -> Mapping[str, object]:
    """Return what INFO says of a node's replication; nothing if the node cuts the connection.

    The Sentinel makes a node do so to all its clients in the moment it gives it another role.
    """
    with node.client() as client, suppress(redis.ConnectionError):
        return dict(client.info("replication"))
    return {}
