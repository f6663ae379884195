"""The limits that both engines keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

KEEPALIVE_SECONDS: Final = 60
KEEPALIVE_TIMEOUT_SECONDS: Final = 20
IDLE_SECONDS: Final = 900
"""How long a connection may be without a call."""
REQUEST_SECONDS: Final = 10.0
"""How long a request that is no stream may take to arrive; by REST, to be answered too."""

MAX_CONNECTIONS: Final = 10_000
"""Connections that may be open at once, where the process may have as many files open."""

# Whoever opens calls and sends no request keeps others out only with so many times the calls that
# are served at once; each takes some 20 KB until it sends one or its connection comes of age.
_UNSAID: Final = 8
_LARGER: Final = 4
_LARGEST: Final = 2**31 - 1

LARGER_REQUESTS: Final = frozenset(
    {
        "/session.v1.SessionService/BatchVerifyTokens",
        "/v1/token:batch-verify",
        "/agent_backend/user/batch-verify",
    }
)
"""Paths, of gRPC and of REST, whose requests may have four times the size of any other: 256 tokens."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client, or all of them, may cost the server (ASVS 13.1.2). Spans in seconds.

    Args:
        max_concurrent_rpcs: calls in hand at once, which ``Boundary`` counts. As many again times
            ``_UNSAID`` may be open without having sent their request.
        max_concurrent_streams: calls under way at once on one connection.
        max_message_bytes: size of a request, but for ``LARGER_REQUESTS``.
        max_metadata_bytes: size of a request's metadata.
        max_connection_age: a connection is asked to reconnect after about this long, so that
            load spreads after a scale-up.
        max_connection_age_grace: how long its calls may go on after that.
        handshake_timeout: how long a connection may take to become one.
    """

    max_concurrent_rpcs: int
    max_concurrent_streams: int
    max_message_bytes: int
    max_metadata_bytes: int
    max_connection_age: float
    max_connection_age_grace: float
    handshake_timeout: float

    @property
    def max_open_calls(self) -> int:
        """Calls that may be open at once, those that have not sent their request included."""
        return (1 + _UNSAID) * self.max_concurrent_rpcs

    @property
    def largest_message_bytes(self) -> int:
        """Size of the largest request of all."""
        return min(self.max_message_bytes * _LARGER, _LARGEST)

    def message_bytes(self, path: str) -> int:
        """Size of a request to a path, such as ``/session.v1.SessionService/Login``."""
        return self.largest_message_bytes if path in LARGER_REQUESTS else self.max_message_bytes
