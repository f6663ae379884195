"""The engine that runs everywhere: ``grpc.aio``; the reference for behaviour.

Must be made inside the process and the event loop that serve: gRPC objects do not survive a
fork, and one loop serves one process.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import grpc
from session_client import aio_server

from session_service.certificate_files import Certificates, CertificateWatch
from session_service.rpc.limits import (
    IDLE_SECONDS,
    KEEPALIVE_SECONDS,
    KEEPALIVE_TIMEOUT_SECONDS,
    Limits,
)

FIXED_OPTIONS: Final = [
    ("grpc.max_connection_idle_ms", IDLE_SECONDS * 1000),
    ("grpc.keepalive_time_ms", KEEPALIVE_SECONDS * 1000),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_SECONDS * 1000),
    ("grpc.keepalive_permit_without_calls", 1),
    # A client may ping every 10 s at most; more often, twice over, ends its connection.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 2),
    # Else a stream that nobody reads from, because its client takes no answers, may send ahead more with
    # every probe: 30 MB each. Requests are small; what HTTP/2 begins with, 64 KiB, does for them.
    ("grpc.http2.bdp_probe", 0),
]


def make_server(limits: Limits, *, share_port: bool) -> grpc.aio.Server:
    """A server without methods or ports.

    Args:
        limits: what callers may use of it.
        share_port: let other processes listen on the same port (SO_REUSEPORT); off, a taken
            port is an error instead of a stale process that silently gets half of the calls.
    """
    options = [("grpc.so_reuseport", int(share_port)), *_options(limits)]
    return aio_server(options=options, maximum_concurrent_rpcs=limits.max_open_calls)


def listen(
    server: grpc.aio.Server,
    address: str,
    certificates: CertificateWatch | None,
    *,
    require_client_certificate: bool = False,
) -> int:
    """Bind the server to ``host:port`` or ``unix:path``; returns the port.

    Args:
        server: one without ports.
        address: where.
        certificates: for TLS; what replaces them is served to connections that come from then on.
        require_client_certificate: turn away a client without one.

    Raises:
        OSError: the address cannot be bound.
    """
    try:
        if certificates is None:
            return server.add_insecure_port(address)
        renewal = _Renewal()
        certificates.subscribe(renewal.use)
        credentials = grpc.dynamic_ssl_server_credentials(
            renewal.take(), renewal.take, require_client_certificate
        )
        return server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}") from error


class _Renewal:
    """Hands certificates over to gRPC, which asks for others before each handshake, in threads of its own."""

    def __init__(self) -> None:
        self._waiting: deque[Any] = deque(maxlen=1)

    def use(self, certificates: Certificates) -> None:
        """Have these taken next."""
        pair = (certificates.key, certificates.chain)
        self._waiting.append(grpc.ssl_server_certificate_configuration([pair], certificates.client_roots))

    def take(self) -> Any:  # noqa: ANN401 - grpc's own type has no name
        """What is to be served from now on, once: gRPC takes possession of it; ``None`` = as before."""
        try:
            return self._waiting.popleft()
        except IndexError:
            return None


def _options(limits: Limits) -> list[tuple[str, int]]:
    """The channel arguments that set these limits."""
    return [
        *FIXED_OPTIONS,
        ("grpc.max_concurrent_streams", limits.max_concurrent_streams),
        # One for all methods; ``Boundary`` holds each to its own.
        ("grpc.max_receive_message_length", limits.largest_message_bytes),
        ("grpc.max_metadata_size", limits.max_metadata_bytes),
        ("grpc.absolute_max_metadata_size", limits.max_metadata_bytes),
        ("grpc.max_connection_age_ms", round(limits.max_connection_age * 1000)),
        ("grpc.max_connection_age_grace_ms", round(limits.max_connection_age_grace * 1000)),
        ("grpc.server_handshake_timeout_ms", round(limits.handshake_timeout * 1000)),
    ]
