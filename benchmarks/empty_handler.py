"""The baseline: VerifyToken's messages on the same grpc.aio set-up, and a handler that does nothing.

A process like one worker of the service (the same event loop, engine, options and limits), without
the boundary and all that is within it. What VerifyToken costs beyond this is what the service costs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal

import grpc
import uvloop
from session_api.v1 import session_service_pb2 as pb

from session_service.config import Config, load_config
from session_service.engines import grpc_aio
from session_service.observability.logs import configure_logging
from session_service.opening import limits
from session_service.rpc.caller import Context
from session_service.rpc.mount import SESSION_SERVICE

log = logging.getLogger(__name__)


async def verify_token(
    request: pb.VerifyTokenRequest,  # noqa: ARG001
    context: Context,  # noqa: ARG001
) -> pb.VerifyTokenResponse:
    """Answer with an empty message."""
    return pb.VerifyTokenResponse()


async def serve(config: Config) -> None:
    """Serve until SIGTERM."""
    server = grpc_aio.make_server(limits(config), share_port=False)
    handler = grpc.unary_unary_rpc_method_handler(
        verify_token, pb.VerifyTokenRequest.FromString, pb.VerifyTokenResponse.SerializeToString
    )
    # By name, as the service does: a registered method would cost more (``rpc.boundary``).
    generic = grpc.method_handlers_generic_handler(SESSION_SERVICE, {"VerifyToken": handler})
    server.add_generic_rpc_handlers((generic,))
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
