"""What every guard is made of: whom it asks, and how it asks so that nothing but a clear yes lets in."""

from __future__ import annotations

from typing import Protocol

from session_client._results import Identity


class AsyncVerifies(Protocol):
    """Checks access tokens: ``AsyncTokenVerifier.verify``, or ``AsyncSessionClient.verify_token``."""

    async def __call__(self, access_token: str, /) -> Identity:
        """Whose live session the token belongs to; raises the client's exceptions."""


class Verifies(Protocol):
    """Checks access tokens: ``TokenVerifier.verify``, or ``SessionClient.verify_token``."""

    def __call__(self, access_token: str, /) -> Identity:
        """Whose live session the token belongs to; raises the client's exceptions."""
