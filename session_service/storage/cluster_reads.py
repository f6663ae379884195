"""Reading a Redis Cluster: one channel per primary, and the cluster's redirections followed.

MOVED, ASK and TRYAGAIN say that a command has not run, so sending it elsewhere is no retry. They are
followed per command: while a slot migrates, one of a call's keys may be here and the next one there.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import defaultdict
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

from redis.crc import key_slot
from redis.exceptions import AskError, RedisError, ResponseError

from session_service.domain.errors import StoreUnavailable
from session_service.storage.channel import Channel
from session_service.storage.dialling import being_cancelled
from session_service.storage.faults import fault_code
from session_service.storage.link import Command, FailedReplies
from session_service.storage.reads import raise_first_error
from session_service.storage.topology import SLOTS, SlotRange, node_address

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence

    from redis.asyncio.connection import AbstractConnection

    from session_service.storage.link import Link
    from session_service.storage.reads import Group, OnOutcomes, Outcome, Question
    from session_service.storage.settings import Address
    from session_service.storage.tracking import Tracking

_LOGGER = logging.getLogger(__name__)

_MOST_REDIRECTIONS: Final = 8
_TRY_AGAIN_PAUSE: Final = 0.02
_REFRESH_PAUSE: Final = 0.5
_ASKING: Final[Command] = ("ASKING",)


class NodeChannel(Channel):
    """The channel to the primary at an address."""

    def __init__(
        self,
        address: Address,
        dial: Callable[[Address], Awaitable[AbstractConnection]],
        *,
        prepare: Callable[[Link], Awaitable[None]],
        tracking: Tracking,
        command_timeout: float,
        on_change: Callable[[], None],
    ) -> None:
        super().__init__(
            name=f"{address[0]}:{address[1]}",
            dial=lambda: dial(address),
            prepare=prepare,
            tracking=tracking,
            is_primary=_knows_its_cluster,
            command_timeout=command_timeout,
            on_change=on_change,
        )
        self.address = address


class ClusterReads:
    """Reads the primary of each key's slot; see ``reads.Reads``.

    The slots are asked for at the start and again whenever a node redirects or a channel is lost, at
    most about twice a second.

    Args:
        dial: opens a connection to the primary at an address.
        topology: asks any node that answers for the slots, those given first.
        prepare: what to do over a new link before it is read over.
        tracking: told of the keys that change, and of the links.
        command_timeout: seconds a reply may take.
    """

    def __init__(
        self,
        dial: Callable[[Address], Awaitable[AbstractConnection]],
        topology: Callable[[Sequence[Address]], Awaitable[list[SlotRange]]],
        prepare: Callable[[Link], Awaitable[None]],
        tracking: Tracking,
        command_timeout: float,
    ) -> None:
        self._dial = dial
        self._prepare = prepare
        self._tracking = tracking
        self._topology = topology
        self._command_timeout = command_timeout
        self._channels: dict[Address, NodeChannel] = {}
        self._owners: list[NodeChannel | None] = [None] * SLOTS
        self._stale = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._asking: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Start; returns after the first attempt to learn the slots and to reach their primaries."""
        await self._refresh()
        await asyncio.gather(*(channel.attempted() for channel in self._channels.values()))
        self._task = asyncio.create_task(self._run(), name="cluster topology")

    async def close(self) -> None:
        """Stop; what is in flight fails."""
        tasks = [task for task in (self._task, *self._retiring) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))

    async def read(self, key: str, /, *commands: Command) -> list[Any]:
        """Run the commands where the key is; see ``Reads.read``."""
        owner = self._owner(key)
        try:
            return await owner.read(commands)
        except FailedReplies as failed:
            return await self._follow(owner, commands, failed.replies)

    def ask(self, questions: Sequence[Question], on_outcomes: OnOutcomes) -> None:
        """Ask each question where its key is; see ``Reads.ask``."""
        for places, outcomes in self._shares([question.group for question in questions]):
            task = asyncio.get_running_loop().create_task(_deliver(places, outcomes, on_outcomes))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    def _shares(self, groups: Sequence[Group]) -> list[tuple[list[int], Coroutine[Any, Any, list[Any]]]]:
        """Places of the groups that one primary is asked for, and what comes of them, for each primary."""
        shares: defaultdict[NodeChannel | None, list[int]] = defaultdict(list)
        for place, (key, _) in enumerate(groups):
            shares[self._owners[key_slot(key.encode())]].append(place)
        return [
            (places, self._read_share(owner, [groups[place] for place in places]))
            for owner, places in shares.items()
        ]

    async def _read_share(self, owner: NodeChannel | None, groups: Sequence[Group]) -> list[Any]:
        if owner is None:
            self._stale.set()
            return [StoreUnavailable()] * len(groups)
        try:
            return _dealt_out(await owner.read(_gathered(groups)), groups)
        except StoreUnavailable as error:
            return [error] * len(groups)
        except FailedReplies as failed:
            dealt = zip(groups, _dealt_out(failed.replies, groups), strict=True)
            following = (self._follow(owner, commands, replies) for (_, commands), replies in dealt)
            followed: list[Any] = await asyncio.gather(*following, return_exceptions=True)
            return followed

    async def track(self, key: str, /, *commands: Command) -> tuple[list[Any], Link | None]:
        """Run the commands where the key is; see ``Reads.track``. What is redirected is not tracked."""
        owner = self._owner(key)
        try:
            return await owner.track(commands)
        except FailedReplies as failed:
            return await self._follow(owner, commands, failed.replies), None

    def _owner(self, key: str) -> NodeChannel:
        owner = self._owners[key_slot(key.encode())]
        if owner is None:
            self._stale.set()
            raise StoreUnavailable
        return owner

    def channels(self) -> list[NodeChannel]:
        """The channels to the primaries, as known now."""
        return list(self._channels.values())

    async def _follow(
        self, channel: NodeChannel, commands: tuple[Command, ...], replies: list[Any]
    ) -> list[Any]:
        for place, command in enumerate(commands):
            if isinstance(replies[place], ResponseError):
                replies[place] = await self._settle(channel, command, replies[place])
        return replies

    async def _settle(self, channel: NodeChannel, command: Command, error: ResponseError) -> Any:  # noqa: ANN401
        for _ in range(_MOST_REDIRECTIONS):
            before: tuple[Command, ...] = ()
            match fault_code(error):
                case "MOVED":
                    channel = self._moved(channel, error)
                case "ASK":
                    channel = self._redirected(channel, error)[1]
                    before = (_ASKING,)
                case "TRYAGAIN":
                    await asyncio.sleep(_TRY_AGAIN_PAUSE)
                case _:
                    self._stale.set()
                    raise_first_error(FailedReplies([error]))
            try:
                return (await channel.read((*before, command)))[-1]
            except FailedReplies as failed:
                error = failed.errors[0]
        raise StoreUnavailable

    def _moved(self, channel: NodeChannel, error: ResponseError) -> NodeChannel:
        slot, owner = self._redirected(channel, error)
        self._owners[slot] = owner
        self._stale.set()
        return owner

    def _redirected(self, channel: NodeChannel, error: ResponseError) -> tuple[int, NodeChannel]:
        # "MOVED 3999 127.0.0.1:6381"; redis-py's class for it reads what follows the code.
        there = AskError(str(error).partition(" ")[2])
        return there.slot_id, self._channel(node_address(there.host, there.port, channel.address))

    def _channel(self, address: Address) -> NodeChannel:
        channel = self._channels.get(address)
        if channel is None:
            channel = NodeChannel(
                address,
                self._dial,
                prepare=self._prepare,
                tracking=self._tracking,
                command_timeout=self._command_timeout,
                on_change=self._stale.set,
            )
            channel.start()
            self._channels[address] = channel
        return channel

    async def _run(self) -> None:
        while not being_cancelled():
            await self._stale.wait()
            self._stale.clear()
            await self._refresh()
            await asyncio.sleep(_REFRESH_PAUSE * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load

    async def _refresh(self) -> None:
        try:
            ranges = await self._topology(list(self._channels))
        except RedisError as error:
            _LOGGER.warning("redis cluster: no node tells the slots, trying again: %s", error)
            self._stale.set()
            return
        owners: list[NodeChannel | None] = [None] * SLOTS
        for each in ranges:
            owners[each.first : each.last + 1] = [self._channel(each.address)] * (each.last + 1 - each.first)
        self._owners = owners
        self._forget(self._channels.keys() - {each.address for each in ranges})

    def _forget(self, addresses: Iterable[Address]) -> None:
        for address in addresses:
            task = asyncio.create_task(self._retire(self._channels.pop(address)))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    async def _retire(self, channel: NodeChannel) -> None:
        # What is in flight there is answered first.
        try:
            await asyncio.sleep(self._command_timeout)
        finally:
            await channel.close()


def _gathered(groups: Sequence[Group]) -> tuple[Command, ...]:
    """The commands of all groups, one after the other."""
    return tuple(chain.from_iterable(commands for _, commands in groups))


def _dealt_out(replies: Sequence[Any], groups: Sequence[Group]) -> list[Any]:
    """To each group the replies to its commands, as a list; the reverse of ``_gathered``."""
    rest = iter(replies)
    return [list(islice(rest, len(commands))) for _, commands in groups]


async def _deliver(
    places: Sequence[int], outcomes: Awaitable[list[Outcome]], on_outcomes: OnOutcomes
) -> None:
    try:
        found = await outcomes
    except Exception as error:  # noqa: BLE001 - unforeseen, and the outcome of these all the same
        found = [error] * len(places)
    on_outcomes(places, found)


async def _knows_its_cluster(_connection: AbstractConnection, link: Link) -> bool:
    # A primary that was cut off from its cluster still answers PING, which would confirm for ever what
    # somebody else by now may have changed.
    (info,) = await link.send((("CLUSTER", "INFO"),))
    return b"cluster_state:ok" in info
