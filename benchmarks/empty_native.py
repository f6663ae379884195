"""The same baseline on the native engine: handlers that do nothing, a task each or by the batch.

Its one argument is ``ordinary``, as nearly all methods are served, or ``batched``, as checks are.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, Final, cast

import grpc
import uvloop
from session_api.v1 import session_service_pb2 as pb

from benchmarks.empty_handler import verify_token
from session_service.config import Config, load_config
from session_service.domain.checks import Asked, Outcome, Settle, TokenCheck
from session_service.engines.native.opening import open_server
from session_service.observability.logs import configure_logging
from session_service.opening import limits
from session_service.rpc.batched import VERIFY_TOKEN, Batched, Fields
from session_service.rpc.boundary import MethodHandlers, Room
from session_service.rpc.http.app import HttpApp
from session_service.rpc.http.cors import Cors

log = logging.getLogger(__name__)

_NOTHING: Final = Exception()


class _EmptyCheck:
    """Settles what it is asked at once."""

    def check_each(self, tokens: Sequence[str], _bounds: Sequence[float], settle: Settle) -> None:
        settle(range(len(tokens)), [_NOTHING] * len(tokens))


class _EmptyMethod:
    """Reads nothing, asks for nothing in particular and answers with an empty message."""

    read = staticmethod(bytes)

    def asked(self, _request: bytes, _values: Fields) -> Asked:
        return "", 0.0, None

    def is_plain(self, _request: bytes) -> bool:
        return False

    def answered(self, _outcome: Outcome | None) -> bytes:
        return b""


class _Unobserved:
    """Counts nothing."""

    def call_ended(self, method: str, reason: str, seconds: float) -> None:
        pass

    def calls_ended(self, method: str, reason: str, seconds: float, count: int) -> None:
        pass


async def serve(config: Config, *, batched: bool) -> None:
    """Serve until SIGTERM."""
    bounds = limits(config)
    http = HttpApp(bounds, Cors((), ()), lambda: True)
    server, address = open_server(
        config.server.listen, bounds, None, http, share_port=False, require_client_certificate=False
    )
    handler: Any = grpc.unary_unary_rpc_method_handler(
        verify_token, pb.VerifyTokenRequest.FromString, pb.VerifyTokenResponse.SerializeToString
    )
    server.add_generic_rpc_handlers((MethodHandlers({VERIFY_TOKEN: handler}),))
    if batched:
        check, room = cast(TokenCheck, _EmptyCheck()), Room(bounds.max_concurrent_rpcs)
        server.add_batched(Batched(check, room, _Unobserved(), {VERIFY_TOKEN: _EmptyMethod()}, None))
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await server.start()
    log.info("serving", extra={"address": address})
    await stopping.wait()
    await server.stop(None)


if __name__ == "__main__":
    configuration = load_config(None, os.environ)
    configure_logging(configuration.logging.format, configuration.logging.level)
    uvloop.run(serve(configuration, batched=sys.argv[1] == "batched"))
