"""The same baseline on the Envoy engine: a handler that does nothing, in an Envoy with Python inside.

Run as a program it starts the Envoy, as the service does; imported by that Envoy it is the application.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

import grpc
from session_api.v1 import session_service_pb2 as pb

from benchmarks.empty_handler import verify_token
from session_service.config import load_config
from session_service.listen_address import free_address
from session_service.observability.logs import configure_logging
from session_service.rpc.engines.asgi import Receive, Scope, Send
from session_service.rpc.engines.envoy import EnvoyServer
from session_service.rpc.engines.envoy_admin import EnvoyAdmin
from session_service.rpc.mount import SESSION_SERVICE
from session_service.serving import limits
from session_service.workers import CONNECTION_VARIABLE, EnvoyWorker, Launch

log = logging.getLogger(__name__)


class EmptyApplication:
    """The ASGI application: the engine with one method.

    Args:
        connection: to the starting process.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._launch: Launch = connection.recv()
        self._server: EnvoyServer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or live from startup to shutdown."""
        if scope["type"] == "http":
            await self._server(scope, receive, send)
            return
        await receive()
        self._server = EnvoyServer(limits(self._launch.config), EnvoyAdmin(self._launch.admin_socket))
        handler = grpc.unary_unary_rpc_method_handler(
            verify_token, pb.VerifyTokenRequest.FromString, pb.VerifyTokenResponse.SerializeToString
        )
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SESSION_SERVICE, {"VerifyToken": handler}),)
        )
        # Nothing is ever said; the connection ends with the starting process, however that ends.
        asyncio.get_running_loop().add_reader(self._connection.fileno(), os.kill, os.getpid(), signal.SIGKILL)
        started = asyncio.create_task(self._start())
        await self._server.prepared.wait()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        started.cancel()
        await send({"type": "lifespan.shutdown.complete"})

    async def _start(self) -> None:
        await self._server.start()
        self._connection.send(self._launch.config.server.listen)


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    config = load_config(None, os.environ)
    configure_logging(config.logging.format, config.logging.level)
    listen = free_address(config.server.listen)
    config = config.model_copy(update={"server": config.server.model_copy(update={"listen": listen})})
    stops = {signal.SIGTERM, signal.SIGINT}
    with tempfile.TemporaryDirectory(prefix="empty-") as name:
        worker = EnvoyWorker(
            config, Path(name) / "envoy", share_port=False, application=f"{__spec__.name}:application"
        )
        # From here on only: Envoy inherits what waits, and would not hear that it is to end.
        signal.pthread_sigmask(signal.SIG_BLOCK, stops)
        if worker.address() is not None:
            log.info("serving", extra={"address": listen})
            signal.sigwait(stops)
        worker.end()


if CONNECTION_VARIABLE in os.environ:
    application = EmptyApplication(Connection(int(os.environ[CONNECTION_VARIABLE])))
elif __name__ == "__main__":
    main()
