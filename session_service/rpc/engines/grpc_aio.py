"""The engine that runs everywhere: ``grpc.aio.server``; the reference for behaviour.

Must be made inside the process and the event loop that serve: gRPC objects do not survive a
fork, and one loop serves one process.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

_FIXED_OPTIONS: Final = [
    ("grpc.max_connection_idle_ms", 900_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # A client may ping every 10 s at most; more often, twice over, ends its connection.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 2),
]

# Whoever opens calls and sends no request keeps others out only with so many times the calls that
# are served at once; each takes some 20 KB until it sends one or its connection comes of age.
_UNSAID: Final = 8


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client, or all of them, may cost the server (ASVS 13.1.2). Spans in seconds.

    Args:
        max_concurrent_rpcs: calls in hand at once, which ``Boundary`` counts. As many again times
            ``_UNSAID`` may be open without having sent their request.
        max_concurrent_streams: calls under way at once on one connection.
        max_message_bytes: size of a request.
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

    def options(self) -> list[tuple[str, int]]:
        """The channel arguments that set these limits."""
        return [
            *_FIXED_OPTIONS,
            ("grpc.max_concurrent_streams", self.max_concurrent_streams),
            ("grpc.max_receive_message_length", self.max_message_bytes),
            ("grpc.max_metadata_size", self.max_metadata_bytes),
            ("grpc.absolute_max_metadata_size", self.max_metadata_bytes),
            ("grpc.max_connection_age_ms", round(self.max_connection_age * 1000)),
            ("grpc.max_connection_age_grace_ms", round(self.max_connection_age_grace * 1000)),
            ("grpc.server_handshake_timeout_ms", round(self.handshake_timeout * 1000)),
        ]


@dataclass(frozen=True, slots=True)
class ServerTls:
    """The server's certificate, and whose client certificates it demands (ASVS 12.3.5).

    Args:
        cert_file: PEM chain, the server's own first.
        key_file: PEM private key.
        client_ca_file: PEM roots that client certificates are checked by.
        require_client_certificate: turn away a client without one.
    """

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None
    require_client_certificate: bool

    def credentials(self) -> grpc.ServerCredentials:
        """Read the files and make gRPC's credentials of them."""
        roots = self.client_ca_file.read_bytes() if self.client_ca_file else None
        pair = (self.key_file.read_bytes(), self.cert_file.read_bytes())
        return grpc.ssl_server_credentials(
            [pair], root_certificates=roots, require_client_auth=self.require_client_certificate
        )


def make_server(limits: Limits, *, share_port: bool) -> grpc.aio.Server:
    """A server without methods or ports.

    Args:
        limits: what it bears.
        share_port: let other processes listen on the same port (SO_REUSEPORT); off, a taken
            port is an error instead of a stale process that silently gets half of the calls.
    """
    options = [("grpc.so_reuseport", int(share_port)), *limits.options()]
    most = (1 + _UNSAID) * limits.max_concurrent_rpcs
    return grpc.aio.server(options=options, maximum_concurrent_rpcs=most)


def listen(server: grpc.aio.Server, address: str, tls: ServerTls | None) -> int:
    """Bind the server to ``host:port`` or ``unix:path``; returns the port.

    Raises:
        OSError: the address cannot be bound.
    """
    try:
        if tls is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, tls.credentials())
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}") from error
