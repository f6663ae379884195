"""Which primary of a Redis Cluster serves which slot, as the cluster itself tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from session_service.storage.dialling import dial, greet, node_target

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from session_service.storage.settings import Address, RedisSettings

SLOTS: Final = 16_384


@dataclass(frozen=True, slots=True)
class SlotRange:
    """Slots ``first`` to ``last``, both included, served by the primary at ``address``."""

    first: int
    last: int
    address: Address


async def read_topology(settings: RedisSettings, address: Address) -> list[SlotRange]:
    """Ask a node, which may be a replica, for the slots and their primaries.

    Raises:
        redis.exceptions.RedisError: it cannot be asked, or it is in no cluster.
    """
    make, kwargs = node_target(settings, address)
    connection = await dial(make, redis_connect_func=greet, **kwargs)
    try:
        await connection.send_command("CLUSTER", "SLOTS")
        return parse_slots(await connection.read_response(), address)
    finally:
        await connection.disconnect(nowait=True)


def parse_slots(reply: Iterable[Sequence[Any]], asked: Address) -> list[SlotRange]:
    """Read the reply of ``CLUSTER SLOTS``: ``[first, last, primary, *replicas]``."""
    return [
        SlotRange(first, last, node_address(primary[0] or b"", primary[1], asked))
        for first, last, primary, *_ in reply
    ]


def node_address(host: bytes | str, port: int, asked: Address) -> Address:
    """A node's address; where its host is unknown ("" or "?") it is that of the node that was asked."""
    text = host.decode() if isinstance(host, bytes) else host
    return (asked[0] if text in {"", "?"} else text), port
