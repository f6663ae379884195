"""The baseline: VerifyToken's messages on the same grpc.aio set-up, and a handler that does nothing.

A process like one worker of the service (the same event loop, engine, options and limits), without
the boundary and all that is within it. What VerifyToken costs beyond this is what the service costs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal

import uvloop
from session_api.v1 import session_service_pb2 as pb
from session_api.v1 import session_service_pb2_grpc as pb_grpc

from session_service.config import Config, load_config
from session_service.observability.logs import configure_logging
from session_service.rpc.caller import Context
from session_service.rpc.engines import grpc_aio
from session_service.serving import limits

log = logging.getLogger(__name__)


class EmptyHandler(pb_grpc.SessionServiceServicer):
    """Answers VerifyToken with an empty message."""

    async def VerifyToken(  # noqa: N802 - the contract's name
        self,
        request: pb.VerifyTokenRequest,  # noqa: ARG002
        context: Context,  # noqa: ARG002
    ) -> pb.VerifyTokenResponse:
        """Do nothing."""
        return pb.VerifyTokenResponse()


async def serve(config: Config) -> None:
    """Serve until SIGTERM."""
    server = grpc_aio.make_server(limits(config), share_port=False)
    pb_grpc.add_SessionServiceServicer_to_server(EmptyHandler(), server)
    port = grpc_aio.listen(server, config.server.listen, None)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await server.start()
    log.info("serving", extra={"address": f"127.0.0.1:{port}"})
    await stopping.wait()
    await server.stop(None)


if __name__ == "__main__":
    configuration = load_config(None, os.environ)
    configure_logging(configuration.logging.format, configuration.logging.level)
    uvloop.run(serve(configuration))
