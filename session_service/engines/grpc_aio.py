"""The engine that runs everywhere: ``grpc.aio``; the reference for behaviour.

Must be made inside the process and the event loop that serve: gRPC objects do not survive a
fork, and one loop serves one process.
"""

from __future__ import annotations

from typing import Final

import grpc
from session_client import aio_server

from session_service.rpc.limits import (
    IDLE_SECONDS,
    KEEPALIVE_SECONDS,
    KEEPALIVE_TIMEOUT_SECONDS,
    Limits,
    ServerTls,
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
        limits: what it bears.
        share_port: let other processes listen on the same port (SO_REUSEPORT); off, a taken
            port is an error instead of a stale process that silently gets half of the calls.
    """
    options = [("grpc.so_reuseport", int(share_port)), *_options(limits)]
    return aio_server(options=options, maximum_concurrent_rpcs=limits.max_open_calls)


def listen(server: grpc.aio.Server, address: str, tls: ServerTls | None) -> int:
    """Bind the server to ``host:port`` or ``unix:path``; returns the port.

    Raises:
        OSError: the address cannot be bound.
    """
    try:
        if tls is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, _credentials(tls))
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}") from error


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


def _credentials(tls: ServerTls) -> grpc.ServerCredentials:
    """Read the files and make gRPC's credentials of them."""
    roots = tls.client_ca_file.read_bytes() if tls.client_ca_file else None
    pair = (tls.key_file.read_bytes(), tls.cert_file.read_bytes())
    return grpc.ssl_server_credentials(
        [pair], root_certificates=roots, require_client_auth=tls.require_client_certificate
    )
