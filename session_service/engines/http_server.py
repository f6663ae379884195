"""Plain HTTP where the engine carries gRPC alone: uvicorn's protocol on sockets of its own, in the same loop.

Without uvicorn's own server, which wants the process's signals, wakes up ten times a second and has no
time-out for a handshake of TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import ssl
from pathlib import Path
from typing import Final

from uvicorn.config import Config
from uvicorn.server import ServerState

from session_service.engines.http_protocol import HttpProtocol, Terms
from session_service.rpc.http.values import HttpHandler
from session_service.rpc.limits import IDLE_SECONDS, Limits, ServerTls

_UNIX: Final = "unix:"
_BACKLOG: Final = 1024
_LOOK_SECONDS: Final = 1.0
_LEAVING_SECONDS: Final = 0.05
# gRPC has as many more for itself; the rest is for Redis and files.
_DESCRIPTORS_FOR_IT: Final = 4
_MOST_CONNECTIONS: Final = 10_000
_LEAST_CONNECTIONS: Final = 50


class HttpServer:
    """Carries HTTP/1.0 and HTTP/1.1 between sockets and a handler.

    Args:
        answer: answers requests.
        limits: what they may cost.
        sockets: bound; see ``bind``.
        tls: the certificate, ``None`` for clear text.
        connections: how many may be open; ``None`` = what a share of the process's descriptors allows.

    Raises:
        OSError: the certificate's files cannot be read.
        ssl.SSLError: they are no pair.
    """

    def __init__(
        self,
        answer: HttpHandler,
        limits: Limits,
        sockets: list[socket.socket],
        tls: ServerTls | None,
        connections: int | None = None,
    ) -> None:
        self._terms = Terms(answer, limits, connections or _most_connections())
        self._sockets = sockets
        self._paths = [Path(each.getsockname()) for each in sockets if each.family == socket.AF_UNIX]
        self._tls = _context(tls) if tls else None
        self._handshake_timeout = limits.handshake_timeout
        self._state = ServerState()
        self._servers: list[asyncio.Server] = []
        self._reaping: asyncio.Task[None] | None = None
        self._config = Config(
            _no_application,
            http=HttpProtocol,
            ws="none",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            # Who is believed about the client's address is decided by server.trusted_proxies.
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=IDLE_SECONDS,
            h11_max_incomplete_event_size=limits.max_metadata_bytes,
        )
        self._config.load()

    async def start(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        timeout = self._handshake_timeout if self._tls else None
        for each in self._sockets:
            server = await loop.create_server(
                self._protocol, sock=each, ssl=self._tls, ssl_handshake_timeout=timeout, backlog=_BACKLOG
            )
            self._servers.append(server)
        self._reaping = asyncio.create_task(self._reap(), name="http connections")

    async def stop(self, grace: float | None) -> None:
        """Take no new connections, answer what is in hand, end what is left.

        Args:
            grace: seconds for that; ``None`` = none.
        """
        for server in self._servers:
            server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace or 0):
                while self._state.connections or self._state.tasks:  # noqa: ASYNC110 - sets of uvicorn's
                    await asyncio.sleep(_LEAVING_SECONDS)
        for connection in list(self._state.connections):
            connection.transport.abort()
        for task in list(self._state.tasks):
            task.cancel()
        if self._reaping is not None:
            self._reaping.cancel()
        for path in self._paths:
            path.unlink(missing_ok=True)

    def _protocol(self) -> HttpProtocol:
        return HttpProtocol(self._terms, self._config, self._state)

    async def _reap(self) -> None:
        """Once a second, end connections that have taken longer than they may."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = loop.time()
            for connection in list(self._state.connections):
                if isinstance(connection, HttpProtocol) and connection.overdue(now):
                    connection.transport.abort()


def bind(listen: str, *, share_port: bool) -> tuple[list[socket.socket], str]:
    """Sockets for an address, and that address with the port that it got.

    Args:
        listen: ``host:port``, an IPv6 host in brackets, or ``unix:path``; of all that a name stands for, what
            can be bound is.
        share_port: let other processes listen on the same port (SO_REUSEPORT).

    Raises:
        OSError: nothing can be bound.
    """
    if listen.startswith(_UNIX):
        return [_bound_unix(Path(listen.removeprefix(_UNIX)))], listen
    host, _, port = listen.rpartition(":")
    found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    problem: OSError | None = None
    for family, _, _, _, address in dict.fromkeys(found):
        chosen = sockets[0].getsockname()[1] if sockets else int(port)
        try:
            sockets.append(_bound(family, (str(address[0]), chosen), share_port=share_port))
        except OSError as error:
            problem = error
    if not sockets:
        raise OSError(f"cannot listen on {listen}: {problem.strerror if problem else 'no address'}")
    return sockets, f"{host}:{sockets[0].getsockname()[1]}"


def _bound(family: socket.AddressFamily, address: tuple[str, int], *, share_port: bool) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share_port:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # As gRPC has it, `[::]` is every address, those of IPv4 included.
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address[0] != "::"))
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def _bound_unix(path: Path) -> socket.socket:
    """A socket at a path, in the place of one that a process left behind."""
    if path.is_socket():
        path.unlink()
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(os.fspath(path))
    except OSError:
        bound.close()
        raise
    return bound


def _context(tls: ServerTls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.cert_file, tls.key_file)
    context.set_alpn_protocols(["http/1.1"])
    if tls.client_ca_file is not None:
        context.load_verify_locations(tls.client_ca_file)
        context.verify_mode = ssl.CERT_REQUIRED if tls.require_client_certificate else ssl.CERT_OPTIONAL
    return context


def _most_connections() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(_MOST_CONNECTIONS, max(_LEAST_CONNECTIONS, soft // _DESCRIPTORS_FOR_IT))


async def _no_application(_scope: object, _receive: object, _send: object) -> None:
    """What uvicorn wants to be told; every connection answers by itself."""
