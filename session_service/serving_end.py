"""Noticing that a server has ended by itself, so that its process does not live on and serve nobody."""

from __future__ import annotations

from typing import Final, NoReturn, Protocol

_SECONDS: Final = 1.0


class ServingEndedError(Exception):
    """The server ended although nobody had asked it to; its own log says why."""


class Ending(Protocol):
    """The part of a server that says when it ends."""

    async def wait_for_termination(self, timeout: float | None = None) -> bool:
        """Return when it has ended, or ``True`` after so many seconds; raise what ended it unasked."""


async def raise_when_ended(server: Ending) -> NoReturn:
    """Wait until a server has ended.

    Asked again and again: ``grpc.aio`` also waits for the calls in flight, some of which never end, before
    it says so by itself.

    Raises:
        ServingEndedError: it has.
    """
    try:
        while await server.wait_for_termination(_SECONDS):
            pass
    except Exception as error:
        raise ServingEndedError("the server has ended by itself") from error
    raise ServingEndedError("the server has ended by itself")
