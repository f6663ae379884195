"""Reading from Redis cheaply: what the stores need, whatever Redis it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from session_service.storage.faults import is_store_fault, store_unavailable
from session_service.storage.link import Command, FailedReplies, Link

if TYPE_CHECKING:
    from session_service.storage.channel import ReadChannel


class Reads(Protocol):
    """Reads the primary, strictly; the hot path of every check."""

    async def read(self, key: str, /, *commands: Command) -> list[Any]:
        """Run read-only commands in one round trip.

        Args:
            key: decides where to read; all commands address keys of its cluster slot.
            *commands: at least one, each a tuple such as ``("GET", key)``.

        Returns:
            One reply per command, in order: ``bytes``, ``int``, ``list``, ``dict`` or ``None``.

        Raises:
            StoreUnavailable: Redis cannot answer.
            redis.exceptions.ResponseError: a command is wrong.
        """

    async def track(self, key: str, /, *commands: Command) -> tuple[list[Any], Link | None]:
        """As ``read``, where commands may be preceded by ``tracking.CACHING``.

        Returns:
            The replies, and the link whose Redis tracks what was read; ``None`` if that is not one.
        """


class PrimaryReads:
    """Reads one primary, whatever the key.

    Args:
        channel: the channel to it.
    """

    __slots__ = ("_channel",)

    def __init__(self, channel: ReadChannel) -> None:
        self._channel = channel

    async def read(self, _key: str, /, *commands: Command) -> list[Any]:
        """Run the commands; see ``Reads.read``."""
        try:
            return await self._channel.read(commands)
        except FailedReplies as failed:
            raise_first_error(failed)

    async def track(self, _key: str, /, *commands: Command) -> tuple[list[Any], Link | None]:
        """Run the commands; see ``Reads.track``."""
        try:
            return await self._channel.track(commands)
        except FailedReplies as failed:
            raise_first_error(failed)


def raise_first_error(failed: FailedReplies) -> NoReturn:
    """Raise the first error reply, as ``StoreUnavailable`` if it is a store fault."""
    error = failed.errors[0]
    if is_store_fault(error):
        raise store_unavailable(error) from error
    raise error
