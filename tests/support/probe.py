"""A service of bytes that shows what an engine does; mounted bare, without the boundary.

``probe_on`` serves it on either engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc

from session_service.certificate_files import CertificateWatch
from session_service.engines import grpc_aio
from session_service.engines.native.opening import open_server
from session_service.opening import Server
from session_service.rpc.boundary import MethodHandlers
from session_service.rpc.http.app import HttpApp
from session_service.rpc.http.cors import Cors
from session_service.rpc.limits import Limits
from tests.support.ports import LOOPBACK, free_port

LIMITS: Final = Limits(
    max_concurrent_rpcs=100,
    max_concurrent_streams=100,
    max_message_bytes=1 << 16,
    max_metadata_bytes=1 << 14,
    max_connection_age=600,
    max_connection_age_grace=60,
    handshake_timeout=5,
)


class Probe:
    """The methods, and how calls of those that never end have ended."""

    def __init__(self) -> None:
        self._begun = 0
        self._ended = 0
        self._told: list[bool] = []

    async def echo(self, request: bytes, _: Any) -> bytes:
        """Answer with the request."""
        return request

    async def caller(self, _: bytes, context: Any) -> bytes:
        """Answer with what is known of the caller, as JSON."""
        known = {key: [value.decode() for value in values] for key, values in context.auth_context().items()}
        names = context.peer_identities()
        identities = None if names is None else [name.decode() for name in names]
        facts = {"known": known, "identities": identities, "key": context.peer_identity_key()}
        return json.dumps({**facts, "peer": context.peer()}).encode()

    async def mirror(self, request: bytes, context: Any) -> bytes:
        """Send the caller's own ``x-`` metadata back, ahead and at the end."""
        sent = context.invocation_metadata()
        await context.send_initial_metadata(tuple(pair for pair in sent if pair[0].startswith("x-early")))
        context.set_trailing_metadata(tuple(pair for pair in sent if pair[0].startswith("x-late")))
        return request

    async def remaining(self, _: bytes, context: Any) -> bytes:
        """Answer with the time that remains."""
        return json.dumps(context.time_remaining()).encode()

    async def abort(self, request: bytes, context: Any) -> bytes:
        """End with a status of every part."""
        trailing = (("x-late", "1"), ("x-late-bin", b"\0\xff"))
        await context.abort(grpc.StatusCode.DATA_LOSS, request.decode(), trailing)
        return b""

    async def both(self, request: bytes, context: Any) -> bytes:
        """Answer, although another status than OK is set."""
        context.set_code(grpc.StatusCode.ABORTED)
        context.set_details("again")
        return request

    async def count(self, request: bytes, _: Any) -> AsyncIterator[bytes]:
        """Count by yielding."""
        for number in range(int(request)):
            yield b"%d" % number

    async def tell(self, request: bytes, context: Any) -> None:
        """Count by writing."""
        for number in range(int(request)):
            await context.write(b"%d" % number)

    async def chat(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        """Answer each message; end badly at ``fail``."""
        with self._noted():
            async for request in requests:
                if request == b"fail":
                    await context.abort(grpc.StatusCode.OUT_OF_RANGE, "as asked")
                yield request

    async def hang(self, _: bytes, context: Any) -> bytes:
        """Never answer."""
        context.add_done_callback(lambda call: self._told.append(call.cancelled()))
        with self._noted():
            await asyncio.Event().wait()
        return b""

    async def drip(self, _: bytes, __: Any) -> AsyncIterator[bytes]:
        """Answer once, and never again."""
        with self._noted():
            yield b"one"
            await asyncio.Event().wait()

    async def flood(self, _: bytes, __: Any) -> AsyncIterator[bytes]:
        """Answer without end."""
        with self._noted():
            while True:
                yield bytes(10_000)

    async def ends(self, _: bytes, __: Any) -> bytes:
        """Answer with how many of the calls above have begun, have ended, and were told of as ended."""
        return json.dumps([self._begun, self._ended, len(self._told)]).encode()

    def handlers(self) -> dict[str, Any]:
        """All methods, by their full names in the service ``p.P``."""
        unary = ("echo", "caller", "mirror", "remaining", "abort", "both", "hang", "ends")
        handlers: dict[str, Any] = {
            name: grpc.unary_unary_rpc_method_handler(getattr(self, name)) for name in unary
        }
        for name in ("count", "tell", "drip", "flood"):
            handlers[name] = grpc.unary_stream_rpc_method_handler(getattr(self, name))
        handlers["chat"] = grpc.stream_stream_rpc_method_handler(self.chat)
        return {f"/p.P/{name}": handler for name, handler in handlers.items()}

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        self._begun += 1
        try:
            yield
        finally:
            self._ended += 1


@dataclass(frozen=True)
class ServerTls:
    """The server's certificate, and whether clients must have one of an authority's."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None
    require_client_certificate: bool


@contextlib.asynccontextmanager
async def probe_on(
    engine: str, *, tls: ServerTls | None = None, unix_socket: bool = False
) -> AsyncIterator[str]:
    """Serve the probe on an engine around a block; gives the address."""
    with tempfile.TemporaryDirectory(prefix="probe-", dir="/tmp") as name:
        directory = Path(name)
        listen = f"unix:{directory / 'p.sock'}" if unix_socket else f"{LOOPBACK}:{free_port()}"
        required = tls is not None and tls.require_client_certificate
        files = CertificateWatch(tls.cert_file, tls.key_file, tls.client_ca_file) if tls else None
        server = (
            _native(listen, files, required) if engine == "native" else _grpc_aio(listen, files, required)
        )
        server.add_generic_rpc_handlers((MethodHandlers(Probe().handlers()),))
        await server.start()
        try:
            yield listen
        finally:
            await server.stop(None)


def _grpc_aio(listen: str, certificates: CertificateWatch | None, required: bool) -> Server:
    server = grpc_aio.make_server(LIMITS, share_port=False)
    grpc_aio.listen(server, listen, certificates, require_client_certificate=required)
    return server


def _native(listen: str, certificates: CertificateWatch | None, required: bool) -> Server:
    server, _ = open_server(
        listen,
        LIMITS,
        certificates,
        HttpApp(LIMITS, Cors((), ()), lambda: True),
        share_port=False,
        require_client_certificate=required,
    )
    return server
