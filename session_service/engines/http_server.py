"""Plain HTTP where the engine carries gRPC alone: uvicorn's protocol on sockets of its own, in the same loop.

Without uvicorn's own server, which wants the process's signals, wakes up ten times a second and has no
time-out for a handshake of TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import ssl
import tempfile
from pathlib import Path
from typing import Final

from uvicorn.config import Config
from uvicorn.server import ServerState

from session_service.certificate_files import Certificates, CertificateWatch
from session_service.engines.http_protocol import HttpProtocol, Terms
from session_service.rpc.http.values import HttpHandler
from session_service.rpc.limits import IDLE_SECONDS, MAX_CONNECTIONS, Limits

_BACKLOG: Final = 1024
_LOOK_SECONDS: Final = 1.0
_LEAVING_SECONDS: Final = 0.05
# gRPC has as many more for itself; the rest is for Redis and files.
_DESCRIPTORS_FOR_IT: Final = 4
_LEAST_CONNECTIONS: Final = 50


class HttpServer:
    """Carries HTTP/1.0 and HTTP/1.1 between sockets and a handler.

    Args:
        answer: answers requests.
        limits: what they may cost.
        sockets: that listen; see ``listening``.
        certificates: for TLS; what replaces them is served to connections that come from then on.
        require_client_certificate: turn away a client without one.
        connections: how many may be open; ``None`` = what a share of the process's descriptors allows.

    Raises:
        ValueError: the certificates cannot be served.
    """

    def __init__(
        self,
        answer: HttpHandler,
        limits: Limits,
        sockets: list[socket.socket],
        certificates: CertificateWatch | None = None,
        *,
        require_client_certificate: bool = False,
        connections: int | None = None,
    ) -> None:
        self._terms = Terms(answer, limits, connections or _most_connections())
        self._sockets = sockets
        self._paths = [Path(each.getsockname()) for each in sockets if each.family == socket.AF_UNIX]
        self._tls: ssl.SSLContext | None = None
        self._require_client_certificate = require_client_certificate
        self._handshake_timeout = limits.handshake_timeout
        self._state = ServerState()
        self._servers: list[asyncio.Server] = []
        self._renewing: asyncio.Task[None] | None = None
        self._reaping: asyncio.Task[None] | None = None
        if certificates is not None:
            certificates.subscribe(self._use)
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
        """Serve; returns when it does."""
        await self._accept()
        self._reaping = asyncio.create_task(self._reap(), name="http connections")

    async def _accept(self) -> None:
        """Accept connections with the certificate of now, in the place of whoever accepted them before."""
        loop = asyncio.get_running_loop()
        timeout = self._handshake_timeout if self._tls else None
        before, self._servers = self._servers, []
        for each in self._sockets:
            # A copy: what waits to be accepted stays when the server that has the other one closes.
            server = await loop.create_server(
                self._protocol,
                sock=each.dup(),
                ssl=self._tls,
                ssl_handshake_timeout=timeout,
                backlog=_BACKLOG,
            )
            self._servers.append(server)
        for server in before:
            server.close()

    def _use(self, certificates: Certificates) -> None:
        """Serve these to connections that come from now on."""
        self._tls = _context(certificates, required=self._require_client_certificate)
        if self._servers:
            self._renewing = asyncio.ensure_future(self._accept())

    async def stop(self, grace: float | None) -> None:
        """Take no new connections, answer what is in hand, end what is left.

        Args:
            grace: seconds for that; ``None`` = none.
        """
        for server in self._servers:
            server.close()
        for each in self._sockets:
            each.close()
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


def _context(certificates: Certificates, *, required: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # Python's ssl takes a key from a file only.
        with tempfile.TemporaryDirectory(prefix="session-service-") as directory:
            chain, key = Path(directory, "chain.pem"), Path(directory, "key.pem")
            chain.write_bytes(certificates.chain)
            key.touch(mode=0o600)
            key.write_bytes(certificates.key)
            context.load_cert_chain(chain, key)
        if certificates.client_roots is not None:
            context.load_verify_locations(cadata=certificates.client_roots.decode("ascii"))
            context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    except ssl.SSLError as error:
        raise ValueError(f"not a usable certificate: {error.reason}") from error
    return context


def _most_connections() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(MAX_CONNECTIONS, max(_LEAST_CONNECTIONS, soft // _DESCRIPTORS_FOR_IT))


async def _no_application(_scope: object, _receive: object, _send: object) -> None:
    """What uvicorn wants to be told; every connection answers by itself."""
