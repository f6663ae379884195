"""Reading from Redis cheaply: what the stores need, whatever Redis it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from redis.exceptions import ResponseError

from session_service.domain.errors import StoreUnavailable
from session_service.storage.faults import is_store_fault, store_unavailable
from session_service.storage.link import Command, FailedReplies, Link

if TYPE_CHECKING:
    from session_service.storage.channel import Channel

Group = tuple[str, tuple[Command, ...]]
"""A key, and commands on keys of its cluster slot."""

Outcome = list[Any] | Exception
"""A group's replies, or why there are none."""


class Question(Protocol):
    """A group of two commands that is kept, because it is asked again and again."""

    packed: bytes
    """The commands as they are sent."""

    @property
    def group(self) -> Group:
        """The commands with their key."""


OnOutcomes = Callable[[Sequence[int], "Sequence[Outcome]"], None]
"""Takes what some of the questions came to: their places, and of each its outcome."""


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

    def ask(self, questions: Sequence[Question], on_outcomes: OnOutcomes) -> None:
        """Read for many keys in one round trip, or in one to each primary at the same time.

        Args:
            questions: at least one.
            on_outcomes: called once for each primary, which may be before this returns, with what ``read``
                returns or raises for each of its questions; must not raise.
        """

    async def track(self, key: str, /, *commands: Command) -> tuple[list[Any], Link | None]:
        """As ``read``, where commands may be preceded by ``tracking.CACHING``.

        Returns:
            The replies, and the link whose Redis tracks what was read; ``None`` if that is not one.
        """


class PrimaryCommands:
    """Runs commands on one primary, whatever the key; as ``Reads`` where they only read.

    Args:
        channel: the channel to it.
    """

    __slots__ = ("_channel",)

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._channel.is_open

    async def read(self, _key: str, /, *commands: Command) -> list[Any]:
        """Run the commands; see ``Reads.read``."""
        try:
            return await self._channel.read(commands)
        except FailedReplies as failed:
            raise_first_error(failed)

    def ask(self, questions: Sequence[Question], on_outcomes: OnOutcomes) -> None:
        """All questions are one primary's; see ``Reads.ask``."""
        places = range(len(questions))

        def take(replies: list[Any] | StoreUnavailable | FailedReplies) -> None:
            if isinstance(replies, StoreUnavailable):
                on_outcomes(places, [replies] * len(questions))
            elif isinstance(replies, FailedReplies):
                on_outcomes(places, [_or_first_error(pair) for pair in in_pairs(replies.replies)])
            else:
                on_outcomes(places, in_pairs(replies))

        self._channel.ask([question.packed for question in questions], 2 * len(questions), take)

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


def in_pairs(replies: Sequence[Any]) -> list[Any]:
    """To each question its two replies, as a list."""
    return [list(pair) for pair in zip(replies[::2], replies[1::2], strict=True)]


def _or_first_error(replies: list[Any]) -> Outcome:
    if any(isinstance(reply, ResponseError) for reply in replies):
        try:
            raise_first_error(FailedReplies(replies))
        except (StoreUnavailable, ResponseError) as error:
            return error
    return replies
