"""A service and the wire between it and Redis, on which the answer to a chosen change gets lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import redis

from session_service.storage.scripts import load
from tests.support.outcomes import outcome
from tests.support.proxy import TcpProxy
from tests.support.service_client import ServiceClient


class Wire:
    """Loses replies of Redis.

    Args:
        service: reaches its Redis through the proxy.
        proxy: stands before that Redis.
        store: a client of that Redis past the proxy.
    """

    def __init__(self, service: ServiceClient, proxy: TcpProxy, store: redis.Redis) -> None:
        self.service = service
        self._proxy = proxy
        self._store = store

    def lose_reply_to(self, script: str) -> None:
        """Let the named script run once more and its answer get lost."""
        loaded = load(script)
        self._store.script_load(loaded.text)
        self._proxy.lose_reply_to = loaded.sha.encode()

    async def twice(self, script: str, call: Callable[[], Awaitable[object]]) -> str:
        """Make a call that runs the script and loses its answer, then the call again; the second outcome."""
        self.lose_reply_to(script)
        assert await outcome(call()) == "STORE_UNAVAILABLE"
        assert not self._proxy.lose_reply_to
        return await outcome(call())
