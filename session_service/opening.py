"""Makes the server of the configured engine, bound to its addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import grpc

from session_service.certificate_files import CertificateWatch
from session_service.config import Config
from session_service.config.sections import Engine
from session_service.engines.native.opening import open_server as open_native
from session_service.listen_address import listening
from session_service.rpc.http.app import HttpApp
from session_service.rpc.http.cors import Cors
from session_service.rpc.limits import Limits


class Server(Protocol):
    """A server of either engine, methods registered or not."""

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Take handlers that look methods up by name."""

    async def start(self) -> None:
        """Serve; returns when it does."""

    async def stop(self, grace: float | None) -> None:
        """Take no new calls, finish those in flight within the grace, in seconds, and end."""

    async def wait_for_termination(self, timeout: float | None = None) -> bool:
        """Return when it has ended, or ``True`` after so many seconds; raise what ended it unasked."""


@runtime_checkable
class Counting(Protocol):
    """A server that counts what never becomes a call."""

    def counts(self) -> Mapping[str, int]:
        """What is open now and what happened so far, by name; see ``EngineMetrics``."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A server that has its address and does not serve yet.

    Args:
        server: the server.
        address: where it will carry gRPC.
        http_address: where it will carry plain HTTP; ``None`` = nowhere.
    """

    server: Server
    address: str
    http_address: str | None


OpenServer = Callable[[Config, HttpApp, CertificateWatch | None], Opened]
"""Makes a server that carries plain HTTP to the app; with the certificates for TLS, if it is configured."""


def open_configured(
    config: Config, http: HttpApp, certificates: CertificateWatch | None, *, share_port: bool = False
) -> Opened:
    """A server of the configured engine that is bound to its address; ``grpc.aio`` where it says ``auto``.

    Raises:
        OSError: the address cannot be listened on.
    """
    section = config.server
    required = section.tls is not None and section.tls.require_client_certificate
    if section.engine is Engine.NATIVE:
        native, address = open_native(
            section.listen,
            limits(config),
            certificates,
            http,
            share_port=share_port,
            require_client_certificate=required,
        )
        return Opened(native, address, address)
    # What a process on the native engine never needs: the client, for its server, and uvicorn. 8 MB.
    from session_service.engines import grpc_aio  # noqa: PLC0415

    server = grpc_aio.make_server(limits(config), share_port=share_port)
    port = grpc_aio.listen(server, section.listen, certificates, require_client_certificate=required)
    unix = section.listen.startswith("unix:")
    address = section.listen if unix else f"{section.listen.rpartition(':')[0]}:{port}"
    if section.http_listen is None:
        return Opened(server, address, None)
    from session_service.engines.http_server import HttpServer  # noqa: PLC0415
    from session_service.engines.side_by_side import SideBySide  # noqa: PLC0415

    sockets, http_address = listening(section.http_listen, share_port=share_port)
    web = HttpServer(http, limits(config), sockets, certificates, require_client_certificate=required)
    return Opened(SideBySide(server, web), address, http_address)


def certificate_watch(config: Config) -> CertificateWatch | None:
    """The certificates of the section ``server.tls``.

    Raises:
        CertificateError: they are not usable.
    """
    section = config.server.tls
    return CertificateWatch(section.cert_file, section.key_file, section.client_ca_file) if section else None


def limits(config: Config) -> Limits:
    """What the engine needs to know of the section ``server``."""
    section = config.server
    return Limits(
        max_concurrent_rpcs=section.max_concurrent_rpcs,
        max_concurrent_streams=section.max_concurrent_streams,
        max_message_bytes=section.max_message_bytes,
        max_metadata_bytes=section.max_metadata_bytes,
        max_connection_age=section.max_connection_age,
        max_connection_age_grace=section.max_connection_age_grace,
        handshake_timeout=section.handshake_timeout,
    )


def cors(config: Config) -> Cors:
    """Which pages of a browser may call, by the section ``server``."""
    return Cors(config.server.cors_origins, config.server.cors_headers)
