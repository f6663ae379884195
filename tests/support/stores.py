"""The stores over each kind of Redis, and values to put into them."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, Protocol

from fakeredis import FakeAsyncRedis, FakeServer

from session_service.domain.models import AccessClaims, Device, NewSession, SessionPolicy, User
from session_service.domain.policy import new_id
from session_service.storage.attempts import RedisAttempts
from session_service.storage.audit import RedisAuditLog
from session_service.storage.connections import RedisConnections
from session_service.storage.fsck import RedisFsck
from session_service.storage.scanning import Connections
from session_service.storage.scripts import Mutations
from session_service.storage.sessions import RedisSessionReader, RedisSessionWriter
from session_service.storage.tracking import CACHING, Tracking
from session_service.storage.upkeep import RedisUpkeep
from session_service.storage.users import RedisUserReader, RedisUserWriter
from session_service.storage.watches import RedisSessionWatches

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence

    from redis.asyncio import Redis

    from session_service.storage.cluster import ClusterClient
    from session_service.storage.reads import OnOutcomes, PrimaryCommands, Question
    from session_service.storage.scripts import Part, Script
    from session_service.storage.settings import RedisSettings

    Client = Redis | ClusterClient

DEVICE = Device(
    device_id="pixel-8-of-ada",
    name="Ada's phone",
    platform="Android",
    user_agent="Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/131.0.0.0 Mobile Safari/537.36",
    app_version="4.2.1",
)


def new_session(user_id: str = "ada", **changes: Any) -> NewSession:
    """A session about to be created, of its own ids, proven elsewhere."""
    values: dict[str, Any] = {
        "session_id": new_id(),
        "token_id": new_id(),
        "user_id": user_id,
        "username": "Ada",
        "roles": ("user", "editor"),
        "device": DEVICE,
        "fingerprint": "fingerprint-of-pixel-8",
        "ip_address": "203.0.113.7",
    }
    return NewSession(**values | changes)


def new_user(user_id: str = "ada", username: str = "Ada", **changes: Any) -> User:
    """A user to add; the hash stands for one, since no store looks into it."""
    values: dict[str, Any] = {
        "user_id": user_id,
        "username": username,
        "roles": ("user",),
        "disabled": False,
        "created_ms": 0,
        "password_hash": f"$hash-of-{username}$",
    }
    return User(**values | changes)


def claims(user_id: str, session_id: str, token_id: str) -> AccessClaims:
    """What a token says whose instants are of no interest."""
    return AccessClaims(user_id, session_id, token_id, 0, 1)


class StoreConnections(Connections, Protocol):
    """What all the stores together need."""

    @property
    def changes(self) -> PrimaryCommands | None:
        """The pipelined way of changing, if there is one."""

    @property
    def tracking(self) -> Tracking:
        """Tells of changes to what was read."""


class Store:
    """Every store over one Redis."""

    def __init__(
        self, client: Client, connections: StoreConnections, mutations: Mutations | None = None
    ) -> None:
        tracking = connections.tracking
        self.client = client
        self.connections = connections
        self.mutations = mutations or Mutations(client, connections.changes)
        self.reads = connections.reads
        self.sessions = RedisSessionReader(self.reads)
        self.watches = RedisSessionWatches(self.reads, tracking)
        self.users = RedisUserReader(self.reads)
        self.directory = RedisUserWriter(self.mutations, self.users)
        self.attempts = RedisAttempts(self.mutations)
        self.upkeep = RedisUpkeep(connections, self.mutations)
        self.fsck = RedisFsck(connections, self.mutations)

    def writer(self, **policy: Any) -> RedisSessionWriter:
        """Changes sessions under a policy."""
        return RedisSessionWriter(self.mutations, SessionPolicy(**policy))

    def audit(self, **settings: Any) -> RedisAuditLog:
        """An audit log, not yet open."""
        return RedisAuditLog(self.mutations, **settings)

    def through(self, mutations: Mutations) -> Store:
        """The same stores, changing Redis in another way."""
        return Store(self.client, self.connections, mutations)

    async def keys(self, pattern: str = "*") -> set[str]:
        """Every key that matches, of all primaries."""
        found: set[str] = set()
        async for primary in self.connections.primaries():
            found |= {key.decode() async for key in primary.scan_iter(match=pattern, count=1000)}
        return found

    async def do(self, *command: Any) -> Any:
        """Run a command as an operator with redis-cli would."""
        return await self.client.execute_command(*command)  # type: ignore[no-untyped-call]

    async def now_ms(self) -> int:
        """Redis's clock."""
        [(seconds, microseconds)] = await self.reads.read("any", ("TIME",))
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def next_ms(self) -> None:
        """Return once Redis's clock shows another millisecond: sessions then differ in age."""
        now = await self.now_ms()
        while await self.now_ms() == now:
            pass


class Faltering(Mutations):
    """Breaks once: at its ``at``-th change, before it is made or after (the reply is lost).

    Args:
        store: what is changed.
        at: which change, from 1.
        made: whether that change is made.
        error: what is raised.
    """

    def __init__(self, store: Store, at: int, *, made: bool, error: Exception) -> None:
        super().__init__(store.client, store.connections.changes)
        self.count = 0
        self._at = at
        self._made = made
        self._error = error

    async def run(self, script: Script, keys: Sequence[str], *args: Part, acknowledged: bool = True) -> Any:
        """Run a script, or break."""
        return await self._falter(super().run(script, keys, *args, acknowledged=acknowledged))

    async def command(self, name: str, key: str, *args: Part, acknowledged: bool = True) -> Any:
        """Run a command, or break."""
        return await self._falter(super().command(name, key, *args, acknowledged=acknowledged))

    async def _falter(self, change: Coroutine[Any, Any, Any]) -> object:
        self.count += 1
        if self.count != self._at:
            return await change
        if self._made:
            await change
        change.close()
        raise self._error


class Meddling(Mutations):
    """Lets something else happen right after its ``after``-th change.

    Args:
        store: what is changed.
        after: which change, from 1.
        meanwhile: what happens then.
    """

    def __init__(self, store: Store, after: int, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__(store.client, store.connections.changes)
        self._left = after
        self._meanwhile = meanwhile

    async def run(self, script: Script, keys: Sequence[str], *args: Part, acknowledged: bool = True) -> Any:
        """Run a script."""
        return await self._meddle(await super().run(script, keys, *args, acknowledged=acknowledged))

    async def command(self, name: str, key: str, *args: Part, acknowledged: bool = True) -> Any:
        """Run a command."""
        return await self._meddle(await super().command(name, key, *args, acknowledged=acknowledged))

    async def _meddle(self, reply: object) -> object:
        self._left -= 1
        if not self._left:
            await self._meanwhile()
        return reply


class FakeConnections:
    """Connections to fakeredis, which stands for a Redis of one's unit tests."""

    def __init__(self) -> None:
        server = FakeServer(version=(7,))
        self.client = FakeAsyncRedis(server=server)
        self._plain = FakeAsyncRedis(server=server)
        # Replies as they are on the wire, as the read channel gives them.
        self._plain.response_callbacks.clear()
        self.reads = self
        self.changes = None
        self.tracking = Tracking()

    async def read(self, _key: str, /, *commands: Sequence[Any]) -> list[Any]:
        """Run the commands in one pipeline."""
        pipe = self._plain.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)
        return await pipe.execute()

    async def track(self, key: str, /, *commands: Sequence[Any]) -> tuple[list[Any], None]:
        """Run the commands; nothing is tracked here."""
        replies = iter(await self.read(key, *(each for each in commands if each != CACHING)))
        return [b"OK" if each == CACHING else next(replies) for each in commands], None

    def ask(self, questions: Sequence[Question], on_outcomes: OnOutcomes) -> None:
        """All in one task, each in a pipeline of its own."""

        async def ask() -> None:
            reads = (self.read(key, *commands) for key, commands in (each.group for each in questions))
            found: list[Any] = await asyncio.gather(*reads, return_exceptions=True)
            on_outcomes(range(len(questions)), found)

        self._asking = asyncio.create_task(ask())

    async def primaries(self) -> AsyncIterator[Redis]:
        """The one there is."""
        yield self.client

    async def close(self) -> None:
        """Forget everything."""
        for client in (self.client, self._plain):
            closed = client.aclose()
            if inspect.isawaitable(closed):
                await closed


async def open_connections(settings: RedisSettings) -> RedisConnections:
    """Open connections; close them after use."""
    connections = RedisConnections(settings)
    await connections.open()
    return connections
