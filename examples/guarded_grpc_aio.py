# ruff: noqa: INP001, T201 - a script that talks to people
"""A ``grpc.aio`` server that only logged-in users can call; one of its methods needs a role.

With ``make run`` in another terminal::

    set -a; . .session-service/dev.env; set +a
    .venv/bin/python examples/guarded_grpc_aio.py

It answers ``/example.Example/WhoAmI`` and ``/example.Example/Secret``. A server of your own has its generated
``add_…Servicer_to_server`` in place of the generic handler. ``LISTEN=127.0.0.1:50062`` takes another port.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.wrappers_pb2 import StringValue
from session_client import (
    AsyncSessionClient,
    AsyncSessionInterceptor,
    AsyncTokenVerifier,
    aio_server,
    current_identity,
)


async def who_am_i(_request: Empty, _context: object) -> StringValue:
    """Tell callers their name."""
    return StringValue(value=current_identity().username)


async def secret(_request: Empty, _context: object) -> StringValue:
    """Tell administrators something."""
    return StringValue(value="42")


def method(behaviour: Any) -> grpc.RpcMethodHandler[Empty, StringValue]:  # noqa: ANN401 - as grpc has it
    """What generated code does for a method."""
    return grpc.unary_unary_rpc_method_handler(behaviour, Empty.FromString, StringValue.SerializeToString)


async def main() -> None:
    """Serve until interrupted."""
    async with (
        AsyncSessionClient(os.environ["SESSION_ADDRESS"]) as sessions,
        AsyncTokenVerifier(sessions, max_staleness=1.0) as verifier,
    ):
        guard = AsyncSessionInterceptor(verifier.verify, roles={"/example.Example/Secret": "admin"})
        # Not grpc.aio.server: one request with a path that is not UTF-8 would end that.
        server = aio_server(interceptors=[guard])
        methods = {"WhoAmI": method(who_am_i), "Secret": method(secret)}
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("example.Example", methods)])
        port = server.add_insecure_port(os.environ.get("LISTEN", "127.0.0.1:50061"))
        await server.start()
        print(f"serving on port {port}", flush=True)
        try:
            await server.wait_for_termination()
        finally:
            await server.stop(grace=5)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
