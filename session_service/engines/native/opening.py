"""Makes a native server with its sockets and its certificate."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Sequence
from functools import partial

from session_service.engines.native.server import MakeEngine, NativeServer
from session_service.engines.native.surface import Engine
from session_service.listen_address import listening
from session_service.rpc.http.app import HttpApp
from session_service.rpc.limits import Limits, ServerTls


def open_server(
    listen: str, limits: Limits, tls: ServerTls | None, http: HttpApp, *, share_port: bool
) -> tuple[NativeServer, str]:
    """A server that is bound to its address, and the address.

    Args:
        listen: ``host:port`` or ``unix:path``.
        limits: what it may be asked for.
        tls: its certificate, if it has one.
        http: answers plain HTTP.
        share_port: let other processes listen on the same port.

    Raises:
        ImportError: the package is not there; see ``availability``.
        OSError: the address cannot be listened on.
    """
    make: MakeEngine = importlib.import_module("session_service_engine").Engine
    sockets, address = listening(listen, share_port=share_port)
    return NativeServer(make, limits, partial(_give, sockets, tls), http), address


def _give(sockets: Sequence[socket.socket], tls: ServerTls | None, engine: Engine) -> None:
    if tls is not None:
        use_certificate(engine, tls)
    for each in sockets:
        engine.listen(each.detach())


def use_certificate(engine: Engine, tls: ServerTls) -> None:
    """Have the files served as they are now.

    Raises:
        OSError: one cannot be read, or they are no usable pair; what was served before is served on.
    """
    chain, key = tls.cert_file.read_bytes(), tls.key_file.read_bytes()
    roots = tls.client_ca_file.read_bytes() if tls.client_ca_file else None
    try:
        engine.use_certificate(chain, key, roots, required=tls.require_client_certificate)
    except ValueError as error:
        raise OSError(f"server.tls: {error}") from error
