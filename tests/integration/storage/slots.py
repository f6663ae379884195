"""Moving a slot of a Redis Cluster from one primary to another, step by step, as resharding does."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Self

from redis.exceptions import ResponseError

from tests.support import LOOPBACK, RedisServer, eventually


class SlotMove:
    """Moves the slot of a key; as a context manager it moves it back at the end.

    Args:
        key: a key of the slot.
        source: the primary that has it.
        target: the primary that gets it.
        nodes: every node of the cluster.
    """

    def __init__(
        self, key: str, source: RedisServer, target: RedisServer, nodes: Iterable[RedisServer]
    ) -> None:
        self._key = key
        self._source, self._target, self._nodes = source, target, tuple(nodes)
        self.slot = int(_run(source, "CLUSTER", "KEYSLOT", key))

    def __enter__(self) -> Self:
        """Nothing is moved yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Move the slot and its keys back, wherever they are by now."""
        self.finish()
        back = SlotMove(self._key, self._target, self._source, self._nodes)
        back.begin()
        back.carry()
        back.finish()

    def begin(self) -> None:
        """From now on the source answers ASK for keys it has not (or no longer)."""
        _run(self._target, "CLUSTER", "SETSLOT", self.slot, "IMPORTING", _identity(self._source))
        _run(self._source, "CLUSTER", "SETSLOT", self.slot, "MIGRATING", _identity(self._target))

    def carry(self, *keys: str) -> None:
        """Carry keys over, all there are if none is named."""
        names = keys or _run(self._source, "CLUSTER", "GETKEYSINSLOT", self.slot, 1000)
        if names:
            _run(self._source, "MIGRATE", LOOPBACK, self._target.port, "", 0, 5000, "KEYS", *names)

    def finish(self) -> None:
        """Carry the rest over and give the slot to the target: from now on the source answers MOVED."""
        self.carry()
        owner = _identity(self._target)
        _run(self._target, "CLUSTER", "SETSLOT", self.slot, "NODE", owner)
        for node in (self._source, *self._nodes):
            # A primary that hears that its last slot is gone becomes a replica, and refuses this.
            with suppress(ResponseError):
                _run(node, "CLUSTER", "SETSLOT", self.slot, "NODE", owner)


def join(node: RedisServer, nodes: Iterable[RedisServer]) -> None:
    """Make an empty node part of a cluster and wait until all know it."""
    known = tuple(nodes)
    _run(known[0], "CLUSTER", "MEET", LOOPBACK, node.port)
    everyone = (node, *known)
    eventually(lambda: all(len(_connected(each)) == len(everyone) for each in everyone), timeout=20)
    eventually(lambda: b"cluster_state:ok" in _run(node, "CLUSTER", "INFO"), timeout=20)


def _connected(node: RedisServer) -> list[bytes]:
    lines = _run(node, "CLUSTER", "NODES").splitlines()
    return [line for line in lines if b" connected" in line and b"handshake" not in line]


def _identity(node: RedisServer) -> str:
    identity = _run(node, "CLUSTER", "MYID")
    return identity.decode() if isinstance(identity, bytes) else str(identity)


def _run(node: RedisServer, *command: str | int) -> Any:
    with node.client() as client:
        return client.execute_command(*command)
