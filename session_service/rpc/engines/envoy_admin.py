"""Envoy's admin interface, on a unix socket that is this process's alone."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Final

_LIVE_POLL_SECONDS: Final = 0.02
_LIVE_SECONDS: Final = 60.0
_ANSWER_SECONDS: Final = 5.0


class EnvoyAdmin:
    """Asks Envoy how it is, and to drain.

    Args:
        socket: where it listens; it may not yet.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def wait_live(self) -> None:
        """Return when every listener is served.

        Raises:
            TimeoutError: that takes too long.
        """
        async with asyncio.timeout(_LIVE_SECONDS):
            # Nothing tells when; and a start takes a tenth of a second.
            while not await self._ok("GET", "/ready"):  # noqa: ASYNC110
                await asyncio.sleep(_LIVE_POLL_SECONDS)

    async def announce_end(self) -> None:
        """Have every response ask its client to connect elsewhere (GOAWAY, ``connection: close``)."""
        await self._ok("POST", "/drain_listeners?graceful&skip_exit")

    async def stop_listening(self) -> None:
        """Take no more connections; those there are stay."""
        await self._ok("POST", "/drain_listeners")

    async def _ok(self, method: str, path: str) -> bool:
        """Whether the answer was 200; ``False`` also where nobody answers."""
        with contextlib.suppress(OSError):
            async with asyncio.timeout(_ANSWER_SECONDS):
                return (await self._ask(method, path)).startswith(b"HTTP/1.1 200")
        return False

    async def _ask(self, method: str, path: str) -> bytes:
        reader, writer = await asyncio.open_unix_connection(str(self._socket))
        with contextlib.closing(writer):
            writer.write(f"{method} {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n".encode())
            return await reader.read()
