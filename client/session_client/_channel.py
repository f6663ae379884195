"""Connections to the service: where to, how secured, what is repeated by itself."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc

SESSION_SERVICE: Final = "session.v1.SessionService"
ADMIN_SERVICE: Final = "session.v1.AdminService"

# They change nothing.
READS: Final = {
    SESSION_SERVICE: ("VerifyToken", "BatchVerifyTokens", "ListSessions"),
    ADMIN_SERVICE: ("GetUser", "ListUsers", "ListUserSessions", "GetStats"),
}
# Their repetition has the effect of one: by the request id, by the grace for a spent refresh
# token, and because a session ends once. All other changes are never sent twice.
REPEATABLE_CHANGES: Final = {
    SESSION_SERVICE: ("Login", "RefreshToken", "Logout"),
    ADMIN_SERVICE: ("CreateSession",),
}


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a call may take in all, its repetitions included. Seconds.

    Args:
        read: for what changes nothing: checks and lists.
        write: for logins and changes; a password hash takes its time. Keep it below the service's
            ``refresh_grace`` (10 s), after which a repeated refresh counts as theft.
    """

    read: float = 1.0
    write: float = 5.0


@dataclass(frozen=True, slots=True)
class Tls:
    """How the connection is secured.

    Args:
        ca_file: PEM roots that the service's certificate must be under; the system's by default.
        cert_file: PEM chain to show to the service (mTLS), the client's own first.
        key_file: PEM private key of that chain.

    Raises:
        ValueError: only one of ``cert_file`` and ``key_file`` is given.
    """

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def __post_init__(self) -> None:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("a client certificate needs both cert_file and key_file")

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files and make gRPC's credentials of them.

        Raises:
            OSError: a file cannot be read.
            ValueError: a file has no PEM in it.
        """
        return grpc.ssl_channel_credentials(
            root_certificates=_pem(self.ca_file),
            private_key=_pem(self.key_file),
            certificate_chain=_pem(self.cert_file),
        )


def open_async_channel(target: str, tls: Tls | None) -> grpc.aio.Channel:
    """A channel of the running event loop.

    Raises:
        RuntimeError: no event loop runs; a channel would bind itself to another one.
    """
    asyncio.get_running_loop()
    if tls is None:
        return grpc.aio.insecure_channel(target, options=OPTIONS)
    return grpc.aio.secure_channel(target, tls.credentials(), options=OPTIONS)


def open_channel(target: str, tls: Tls | None) -> grpc.Channel:
    """A channel for all threads of the process."""
    if tls is None:
        return grpc.insecure_channel(target, options=OPTIONS)
    return grpc.secure_channel(target, tls.credentials(), options=OPTIONS)


def service_config() -> dict[str, Any]:
    """The gRPC service config: balancing over all addresses, and what is retried how often."""
    return {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [_retried(READS, attempts=3), _retried(REPEATABLE_CHANGES, attempts=2)],
        # Once 50 attempts more have failed than a tenth of those that succeeded, nothing is repeated
        # until more succeed: repetition would help to keep the service down (gRFC A6).
        "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1},
    }


def _pem(file: Path | None) -> bytes | None:
    if file is None:
        return None
    content = file.read_bytes()
    # Of an empty file grpc would make "the system's roots" or the end of the process.
    if b"-----BEGIN " not in content:
        raise ValueError(f"{file} is not a PEM file")
    return content


def _retried(methods: dict[str, tuple[str, ...]], attempts: int) -> dict[str, Any]:
    return {
        "name": [
            {"service": service, "method": name} for service, names in methods.items() for name in names
        ],
        "retryPolicy": {
            "maxAttempts": attempts,
            # gRPC adds jitter of a fifth either way (gRFC A6).
            "initialBackoff": "0.05s",
            "maxBackoff": "0.5s",
            "backoffMultiplier": 2,
            # A server that stops answers CANCELLED to calls that it has not begun (grpc#41785).
            "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
        },
    }


OPTIONS: Final[list[tuple[str, Any]]] = [
    ("grpc.service_config", json.dumps(service_config())),
    # A dead connection is noticed within 25 s, an idle one too. The service allows a ping per 10 s.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # By default gRPC waits for up to two minutes between attempts to connect: too long after an outage.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # Despite its name, how long one attempt may take.
    ("grpc.min_reconnect_backoff_ms", 5_000),
]
