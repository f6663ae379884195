"""Makes a native server with its sockets and its certificates."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Sequence
from functools import partial

from session_service.certificate_files import Certificates, CertificateWatch
from session_service.engines.native.server import MakeEngine, NativeServer
from session_service.engines.native.surface import Engine
from session_service.listen_address import listening
from session_service.rpc.http.app import HttpApp
from session_service.rpc.limits import Limits


def open_server(
    listen: str,
    limits: Limits,
    certificates: CertificateWatch | None,
    http: HttpApp,
    *,
    share_port: bool,
    require_client_certificate: bool,
) -> tuple[NativeServer, str]:
    """A server that is bound to its address, and the address.

    Args:
        listen: ``host:port`` or ``unix:path``.
        limits: what it may be asked for.
        certificates: for TLS; what replaces them is served to connections that come from then on.
        http: answers plain HTTP.
        share_port: let other processes listen on the same port.
        require_client_certificate: turn away a client without one.

    Raises:
        ImportError: the package is not there; see ``availability``.
        OSError: the address cannot be listened on.
    """
    make: MakeEngine = importlib.import_module("session_service_engine").Engine
    sockets, address = listening(listen, share_port=share_port)
    give = partial(_give, sockets, certificates, require_client_certificate)
    return NativeServer(make, limits, give, http), address


def _give(
    sockets: Sequence[socket.socket], certificates: CertificateWatch | None, required: bool, engine: Engine
) -> None:
    def use(found: Certificates) -> None:
        engine.use_certificate(found.chain, found.key, found.client_roots, required=required)

    if certificates is not None:
        certificates.subscribe(use)
    for each in sockets:
        engine.listen(each.detach())
