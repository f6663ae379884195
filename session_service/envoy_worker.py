"""A worker inside Envoy: what Envoy's Python module imports, and where every request arrives.

Imported by Envoy alone, which ``workers.EnvoyWorker`` starts: the module takes its connection to the
supervisor from the environment. What ``serve`` does is what it does in any other worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from multiprocessing.connection import Connection
from typing import Any

from prometheus_client import CollectorRegistry

from session_service.app import make_metrics
from session_service.config import Config
from session_service.observability.logs import configure_logging
from session_service.rpc.engines.asgi import Receive, Scope, Send
from session_service.rpc.engines.envoy import EnvoyServer
from session_service.rpc.engines.envoy_admin import EnvoyAdmin
from session_service.rpc.http.app import HttpApp
from session_service.serving import Opened, Orders, limits, serve
from session_service.workers import CONNECTION_VARIABLE, Launch

log = logging.getLogger(__name__)


class EnvoyWorker:
    """The ASGI application of one Envoy.

    Args:
        connection: to the supervisor.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._launch: Launch = connection.recv()
        self._orders: Orders
        self._server: EnvoyServer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or live from startup to shutdown."""
        if scope["type"] == "http":
            await self._server(scope, receive, send)
        else:
            await self._live(receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Serve between Envoy's start and its end; Envoy listens from the first answer on."""
        await receive()
        os.chdir(self._launch.working_directory)
        config = self._launch.config
        configure_logging(config.logging.format, config.logging.level)
        self._orders = Orders()
        self._server = EnvoyServer(limits(config), EnvoyAdmin(self._launch.admin_socket))
        asyncio.get_running_loop().add_reader(self._connection.fileno(), self._take_order)
        serving = asyncio.create_task(self._serve(config))
        prepared = asyncio.create_task(self._server.prepared.wait())
        await asyncio.wait({serving, prepared}, return_when=asyncio.FIRST_COMPLETED)
        prepared.cancel()
        if serving.done():
            await send({"type": "lifespan.startup.failed", "message": "see the log"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._orders.obey(signal.SIGTERM)
        await serving
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, config: Config) -> None:
        """Serve until ordered to stop, then end this process, which is Envoy."""
        try:
            await serve(config, make_metrics(CollectorRegistry()), self._orders, self._tell, self._open)
        except Exception:
            log.exception("serving failed")
            # Envoy itself would end with 0, as if it had been told to.
            os._exit(1)
        os.kill(os.getpid(), signal.SIGTERM)

    def _open(self, config: Config, _http: HttpApp) -> Opened:
        return Opened(self._server, config.server.listen, config.server.listen)

    def _tell(self, address: str) -> None:
        # Nobody listens to a worker that takes the place of one that died.
        with contextlib.suppress(OSError):
            self._connection.send(address)

    def _take_order(self) -> None:
        """Take an order; the connection's end is one to stop."""
        try:
            number: Any = self._connection.recv()
        except (EOFError, OSError):
            asyncio.get_running_loop().remove_reader(self._connection.fileno())
            self._orders.lose_supervisor()
        else:
            self._orders.obey(number)


# pyvoy puts the working directory first, which must not shadow anything.
sys.path[:] = [entry for entry in sys.path if entry != "."]
application = EnvoyWorker(Connection(int(os.environ[CONNECTION_VARIABLE])))
