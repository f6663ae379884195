"""Connections to a Redis Cluster."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode, PipelineCommand
from redis.exceptions import AskError, MovedError, RedisClusterException, RedisError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.maint_notifications import MaintNotificationsConfig

from session_service.storage.cluster_reads import ClusterReads
from session_service.storage.dialling import connection_kwargs, dial, greet_primary, node_target, tls_kwargs
from session_service.storage.renewing_tls import RenewingTlsConnection
from session_service.storage.topology import SlotRange, read_topology

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from redis.asyncio.connection import AbstractConnection

    from session_service.storage.replay import RecentEnds
    from session_service.storage.settings import Address, RedisSettings
    from session_service.storage.tracking import Tracking

# Beside the changes that run: reading the topology, ASKING.
_SPARE_CONNECTIONS: Final = 8
_REDIRECTIONS: Final = 8
_MIGRATION_PAUSE: Final = 0.05


class ClusterClient(RedisCluster):
    """redis-py's cluster client, bounded in waiting and without retries; it follows redirections.

    Args:
        settings: where the cluster is.
    """

    # While a user's keys are split over two primaries, or new ones are made in a slot that migrates, Redis
    # answers ASK, TRYAGAIN, MOVED in turn; redis-py's 16 are over before the slot is.
    RedisClusterRequestTTL = 64

    def __init__(self, settings: RedisSettings) -> None:
        tls = {} if settings.tls is None else {"ssl": True, **tls_kwargs(settings.tls)}
        super().__init__(
            startup_nodes=[ClusterNode(host, port) for host, port in settings.cluster],
            # Its own way of renewing the topology closes connections that others are using.
            reinitialize_steps=0,
            require_full_coverage=False,
            max_connections=settings.max_connections + _SPARE_CONNECTIONS,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
            **connection_kwargs(settings),
            **tls,
        )
        if settings.tls is not None:
            # Of the nodes that are found, and of those that are known.
            renewing = {"tls_context": settings.tls.context}
            self.connection_kwargs |= {"connection_class": RenewingTlsConnection, **renewing}
            for node in self.startup_nodes:
                node.connection_class = RenewingTlsConnection
                node.connection_kwargs |= renewing
        self._slots = asyncio.Semaphore(settings.max_connections)
        self._patience = settings.connect_timeout

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as in redis-py
        """Run a command once a connection is free; see redis-py.

        Raises:
            redis.exceptions.ConnectionError: none was free for as long as connecting may take.
        """
        async with self._turn():
            return await super().execute_command(*args, **kwargs)

    async def execute_together(self, key: str, *commands: Sequence[Any]) -> list[Any]:
        """Run commands on one connection to the key's primary, following the key if it has moved.

        For WAIT, which counts the writes of its own connection.

        Args:
            key: where; the first command is the one that is redirected.
            *commands: each a sequence of words.

        Returns:
            A reply for each; an error is one too.
        """
        async with self._turn():
            await self.initialize()
            node, asking = self.get_node_from_key(key), False
            for _ in range(_REDIRECTIONS):
                replies = await self._on_node(node, commands, asking=asking)
                match replies[0]:
                    case MovedError() as moved:
                        await self.nodes_manager.move_slot(moved)
                        node, asking = self.get_node_from_key(key), False
                    case AskError() as ask:
                        node, asking = self.get_node(node_name=f"{ask.host}:{ask.port}"), True
                    case TryAgainError():
                        await asyncio.sleep(_MIGRATION_PAUSE)
                    case _:
                        break
            return replies

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._patience):
                await self._slots.acquire()
        except TimeoutError as error:
            raise RedisConnectionError("no connection to redis was free in time") from error
        try:
            yield
        finally:
            self._slots.release()

    def get_node(
        self, host: str | None = None, port: int | None = None, node_name: str | None = None
    ) -> ClusterNode | None:
        """Find a node, also one that has no slots yet and so is not in the topology: ASK names it."""
        node = super().get_node(host, port, node_name)
        if node is None and node_name is not None:
            host, _, digits = node_name.rpartition(":")
            node = ClusterNode(host, int(digits), "primary", **self.connection_kwargs)
            self.nodes_manager.set_nodes(self.nodes_manager.nodes_cache, {node.name: node})
        return node

    async def _on_node(
        self, node: ClusterNode | None, commands: Sequence[Sequence[Any]], *, asking: bool
    ) -> list[Any]:
        if node is None:
            raise RedisConnectionError("the cluster has nobody for this slot")
        words = ([["ASKING"]] if asking else []) + [list(each) for each in commands]
        pipelined = [PipelineCommand(place, *each) for place, each in enumerate(words)]
        try:
            await node.execute_pipeline(pipelined)
        except (RedisConnectionError, RedisTimeoutError):
            self._initialize = True  # as redis-py does, so that the next command asks who is the primary
            raise
        replies = [each.result for each in pipelined[asking:]]
        if any(isinstance(reply, RedisConnectionError | RedisTimeoutError) for reply in replies):
            self._initialize = True
        return replies


class ClusterTarget:
    """The primaries of a Redis Cluster: ``client`` changes them, ``reads`` reads them.

    Args:
        settings: where some of its nodes are.
        ends: replayed to each primary whenever it is found anew.
        tracking: told of the keys that change.
    """

    def __init__(self, settings: RedisSettings, ends: RecentEnds, tracking: Tracking) -> None:
        self._settings = settings
        self.client = ClusterClient(settings)
        self.changes = None
        self.reads = ClusterReads(
            self._dial, self._ask_topology, ends.replay, tracking, settings.command_timeout
        )

    async def open(self) -> None:
        """Start; returns after the first attempt."""
        await self.reads.open()
        with suppress(RedisError, RedisClusterException):
            await self.client.initialize()  # before its first command, which would go to any node

    async def close(self) -> None:
        """End every connection."""
        await self.reads.close()
        await self.client.aclose()

    async def ping(self) -> bool:
        """Whether any primary answers.

        Not "all": the users of the others are served, and taking the service away from them too would
        turn part of an outage into the whole of it.
        """
        return any(await asyncio.gather(*(channel.answers() for channel in self.reads.channels())))

    async def primaries(self) -> AsyncIterator[Redis]:
        """A client for each primary, good until the next one is taken."""
        for channel in self.reads.channels():
            make, kwargs = node_target(self._settings, channel.address)
            pool = BlockingConnectionPool(max_connections=1, connection_class=make, **kwargs)
            async with Redis.from_pool(pool) as client:
                yield client

    async def _dial(self, address: Address) -> AbstractConnection:
        make, kwargs = node_target(self._settings, address)
        return await dial(make, redis_connect_func=greet_primary, **kwargs)

    async def _ask_topology(self, known: Sequence[Address]) -> list[SlotRange]:
        # The primaries known so far in any order, then the nodes of the settings.
        failure = RedisError("no node is configured")
        for address in (*random.sample(known, len(known)), *self._settings.cluster):
            try:
                return await read_topology(self._settings, address)
            except RedisError as error:
                failure = error
        raise failure
