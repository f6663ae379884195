"""Runs changes: each is one Lua script (or one command), sent once.

A change whose reply is lost is never sent again from here, since it may have been made (its caller
may repeat it: scripts are keyed by request id or generation, or have the same effect twice). The one
exception is NOSCRIPT, after a restart or a failover, which says that nothing has run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from session_service.domain.errors import StoreUnavailable
from session_service.storage.cluster import ClusterClient
from session_service.storage.faults import fault_code, store_faults

if TYPE_CHECKING:
    from session_service.storage.reads import PrimaryCommands

Part = str | bytes | int
"""One word of a command."""

_DIRECTORY: Final = Path(__file__).with_name("lua")


@dataclass(frozen=True, slots=True)
class Script:
    """One Lua script with its digest."""

    text: str
    sha: str


def load(name: str) -> Script:
    """The script ``lua/<name>.lua``, after the functions that all share."""
    text = "".join((_DIRECTORY / f"{part}.lua").read_text(encoding="utf-8") for part in ("_shared", name))
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


class Mutations:
    """Changes what Redis holds.

    Args:
        client: the primary's; never retries.
        changes: carries what no replica is waited for while it is open, at a sixth of what that costs over
            ``client``; ``None`` in a cluster.
        wait_replicas: replicas that must have a change before it counts as made; 0 = none.
        wait_timeout: seconds to wait for them; below the client's own time-out.
    """

    def __init__(
        self,
        client: Redis | ClusterClient,
        changes: PrimaryCommands | None = None,
        *,
        wait_replicas: int = 0,
        wait_timeout: float = 0.5,
    ) -> None:
        self._client = client
        self._changes = changes
        self._wait = ("WAIT", wait_replicas, int(wait_timeout * 1000)) if wait_replicas else None
        self.one_slot = not isinstance(client, ClusterClient)
        """Whether a script may have any keys: outside a cluster all are in one place."""

    async def run(self, script: Script, keys: Sequence[str], *args: Part, acknowledged: bool = True) -> Any:  # noqa: ANN401 - each script documents its own reply
        """Run a script once.

        Args:
            script: what to run.
            keys: its KEYS, all of one cluster slot.
            *args: its ARGV.
            acknowledged: whether replicas must have it; not for what may be lost, as activity.

        Raises:
            StoreUnavailable: Redis cannot answer, or too few replicas have it; it may have run.
        """
        tail = (len(keys), *keys, *args)
        with store_faults():
            try:
                return await self._send(keys[0], ("EVALSHA", script.sha, *tail), acknowledged)
            except ResponseError as error:
                if fault_code(error) != "NOSCRIPT":
                    raise
                return await self._send(keys[0], ("EVAL", script.text, *tail), acknowledged)

    async def command(self, name: str, key: str, *args: Part, acknowledged: bool = True) -> Any:  # noqa: ANN401
        """Run one plain command on a key once; as ``run``."""
        with store_faults():
            return await self._send(key, (name, key, *args), acknowledged)

    async def _send(self, key: str, command: tuple[Part, ...], acknowledged: bool) -> Any:  # noqa: ANN401
        if self._wait is None or not acknowledged:
            if self._changes is not None and self._changes.is_open:
                (reply,) = await self._changes.read(key, command)
                return reply
            return await self._client.execute_command(*command)  # type: ignore[no-untyped-call]
        if isinstance(self._client, ClusterClient):
            reply, acks = await self._client.execute_together(key, command, self._wait)
        else:
            pipe = self._client.pipeline(transaction=False)
            pipe.execute_command(*command)
            pipe.execute_command(*self._wait)
            reply, acks = await pipe.execute(raise_on_error=False)
        for each in (reply, acks):
            if isinstance(each, Exception):
                raise each
        if acks < self._wait[1]:
            raise StoreUnavailable(maybe_done=True)
        return reply
