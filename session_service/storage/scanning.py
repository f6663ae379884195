"""Going through all keys of a primary in small steps, and running a script for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from redis.asyncio import Redis
from redis.exceptions import AskError, MovedError, NoScriptError

from session_service.storage.faults import store_faults
from session_service.storage.reads import Reads
from session_service.storage.scripts import Part, Script

Progress = Callable[[str, int], Awaitable[None]]
"""Called between steps with what is being looked at and how many were so far."""

_STEP: Final = 200


class Connections(Protocol):
    """What going through all of Redis needs; ``RedisConnections`` is it."""

    @property
    def reads(self) -> Reads:
        """The pipelined way of reading."""

    def primaries(self) -> AsyncIterator[Redis]:
        """A client for each primary, good until the next one is taken."""


@dataclass(frozen=True, slots=True)
class Call:
    """A script's KEYS and ARGV."""

    keys: Sequence[str]
    args: Sequence[Part]


async def scan(primary: Redis, pattern: str) -> AsyncIterator[list[str]]:
    """The keys of a primary that match, page by page; a key that stays throughout comes at least once."""
    cursor = 0
    while True:
        with store_faults():
            reply = await primary.scan(cursor, match=pattern, count=_STEP)
        cursor, page = int(reply[0]), reply[1]
        if page:
            yield [key.decode() for key in page if isinstance(key, bytes)]
        if not cursor:
            return


async def run_each(primary: Redis, script: Script, calls: Sequence[Call]) -> list[Any]:
    """Run a script for each call, all in one write; one reply per call.

    The reply is ``None`` where the key's slot has moved to another primary meanwhile.

    Raises:
        StoreUnavailable: Redis cannot answer.
    """
    with store_faults():
        replies = await _pipelined(primary, script, calls)
        if any(isinstance(reply, NoScriptError) for reply in replies):
            await primary.script_load(script.text)
            replies = await _pipelined(primary, script, calls)
        for place, reply in enumerate(replies):
            if isinstance(reply, MovedError | AskError):
                replies[place] = None
            elif isinstance(reply, Exception):
                raise reply
    return replies


async def _pipelined(primary: Redis, script: Script, calls: Sequence[Call]) -> list[Any]:
    pipe = primary.pipeline(transaction=False)
    for call in calls:
        pipe.execute_command("EVALSHA", script.sha, len(call.keys), *call.keys, *call.args)
    return await pipe.execute(raise_on_error=False)
