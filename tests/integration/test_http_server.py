"""Plain HTTP beside grpc.aio: bounds of time, size and number, ends of connections, TLS, drain."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from session_service.certificate_files import CertificateWatch
from session_service.engines import http_protocol, http_server
from session_service.engines.http_server import HttpServer
from session_service.listen_address import listening
from session_service.rpc.http.values import HttpReply, HttpRequest, HttpResponse, HttpStream
from tests.support import CertificateAuthority
from tests.support.probe import LIMITS as PROBE_LIMITS
from tests.support.waiting import eventually_async

LIMITS = replace(PROBE_LIMITS, handshake_timeout=0.2, max_message_bytes=10_000, max_metadata_bytes=4_000)
POST = b"POST / HTTP/1.1\r\nhost: a\r\n"
GET = b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n"


@dataclass
class App:
    """Answers each path in its way, and keeps what it was asked."""

    asked: list[HttpRequest] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, request: HttpRequest) -> HttpReply:
        """Answer."""
        self.asked.append(request)
        match request.path:
            case "/fail":
                raise RuntimeError("a secret")
            case "/large":
                return HttpResponse(200, (), b"x" * 50_000_000)
            case "/stream":
                return HttpStream(200, (("content-type", "text/event-stream"),), self._pieces())
            case "/wait":
                await self._waited()
        return HttpResponse(200, (("x-a", "b"),), b"[%d]" % len(request.body))

    async def _waited(self) -> None:
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.ended.append("wait")
            raise

    async def _pieces(self) -> AsyncIterator[bytes]:
        try:
            yield b"one"
            await self.go_on.wait()
            yield b"two"
        finally:
            self.ended.append("stream")


@dataclass
class Served:
    """A server, and where it listens."""

    server: HttpServer
    app: App
    address: str

    async def connect(self, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection."""
        if self.address.startswith("unix:"):
            return await asyncio.open_unix_connection(self.address.removeprefix("unix:"))
        host, _, port = self.address.rpartition(":")
        return await asyncio.open_connection(host, int(port), **options)

    async def exchange(self, sent: bytes, **options: Any) -> bytes:
        """What comes back for these bytes, to the end of the connection."""
        reader, writer = await self.connect(**options)
        with contextlib.suppress(ConnectionError):
            writer.write(sent)
            await writer.drain()
        received = b""
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(65_536):
                received += piece
        writer.close()
        return received


Serve = Callable[..., Any]


@pytest.fixture
async def serve(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serve]:
    """A function that serves; its server is looked after often."""
    monkeypatch.setattr(http_server, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(http_protocol, "_LINGER_SECONDS", 0.05)
    servers: list[HttpServer] = []

    async def serve(
        listen: str = "127.0.0.1:0",
        *,
        limits: Any = LIMITS,
        certificates: CertificateWatch | None = None,
        connections: int | None = None,
    ) -> Served:
        app = App()
        sockets, address = listening(listen, share_port=False)
        required = certificates is not None and certificates.current.client_roots is not None
        server = HttpServer(
            app, limits, sockets, certificates, require_client_certificate=required, connections=connections
        )
        await server.start()
        servers.append(server)
        return Served(server, app, address)

    yield serve
    for each in servers:
        await each.stop(None)


def status_of(answer: bytes) -> int:
    """The status of the first answer; 0 = there is none."""
    return int(answer.split(b" ", 2)[1]) if answer else 0


async def read_answer(reader: asyncio.StreamReader) -> bytes:
    """One answer with its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    return head + await reader.readexactly(length)


async def test_a_request_arrives_whole(serve: Serve) -> None:
    """Method, path as sent, query, header fields in order, body, peer."""
    served = await serve()
    fields = b"Host: a\r\nX-A: \xff\r\nx-a: 2\r\ncontent-length: 3\r\nconnection: close\r\n"
    answer = await served.exchange(b"POST /a%2Fb?c=%20 HTTP/1.1\r\n" + fields + b"\r\nabc")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n[3]")
    names = {line.partition(b":")[0].lower() for line in answer.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]}
    assert names == {b"x-a", b"content-length", b"connection"}
    [request] = served.app.asked
    assert (request.method, request.path, request.query, request.body) == ("POST", "/a%2Fb", "c=%20", b"abc")
    assert [value for name, value in request.headers if name == "x-a"] == ["\xff", "2"]
    assert request.peer.startswith("ipv4:127.0.0.1:")
    assert not request.secure


async def test_connections_are_kept_and_pipelined(serve: Serve) -> None:
    """Two requests at once get two answers, in order; HEAD's has no body."""
    served = await serve()
    head = b"HEAD /x HTTP/1.1\r\nhost: a\r\n\r\n"
    answer = await served.exchange(GET + head + GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
    assert answer.count(b"HTTP/1.1 200 ") == 3
    assert answer.count(b"content-length: 3") == 3
    assert answer.count(b"[0]") == 2


@pytest.mark.parametrize("byte", [0, *range(0x80, 0x100, 16), 0x7F, 0x20])
async def test_odd_bytes_in_a_path(serve: Serve, byte: int) -> None:
    """400, and the server lives."""
    served = await serve()
    answer = await served.exchange(b"GET /a" + bytes([byte]) + b" HTTP/1.1\r\nhost: a\r\n\r\n")
    assert status_of(answer) == 400
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == 3
    assert status_of(await served.exchange(GET.replace(b"1.1", b"1.0"))) == 200


async def test_a_websocket_is_a_question_like_any_other(serve: Serve) -> None:
    """It is answered, and the log stays silent."""
    served = await serve()
    upgrade = b"connection: upgrade, close\r\nupgrade: websocket\r\n\r\n"
    assert status_of(await served.exchange(GET[:-2] + upgrade)) == 200


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /" + b"a" * 500_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"a" * 500_000 + b"\r\n\r\n", 431),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10001\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999\r\nexpect: 100-continue\r\n\r\n", 413),
        (
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3000000\r\nconnection: close\r\n\r\n"
            + b"a" * 3_000_000,
            413,
        ),
        (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4000\r\n" + b"a" * 0x4000, 413),
        (POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
    ],
)
async def test_what_is_refused(serve: Serve, request_bytes: bytes, status: int) -> None:
    """By name, in JSON, and the connection ends."""
    served = await serve()
    answer = await served.exchange(request_bytes)
    assert status_of(answer) == status
    assert b"connection: close" in answer.lower()
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["message"]
    assert served.app.asked == []


async def test_a_request_that_fails(serve: Serve) -> None:
    """500 with a fixed text, and the connection goes on."""
    served = await serve()
    reader, writer = await served.connect()
    writer.write(GET.replace(b"/x", b"/fail") + GET)
    answer = await read_answer(reader)
    assert (status_of(answer), b"a secret" in answer) == (500, False)
    assert status_of(await read_answer(reader)) == 200
    writer.close()


@pytest.mark.parametrize("sent", [b"", b"GET / HT", GET + b"GET / HT", b"\r\n"])
async def test_slow_header_fields(serve: Serve, sent: bytes) -> None:
    """They have as long as a handshake has, from the first connection's moment on, however they dribble."""
    served = await serve()
    reader, writer = await served.connect()
    writer.write(sent)
    if sent.startswith(GET):
        await read_answer(reader)

    reading = asyncio.ensure_future(reader.read())
    async with asyncio.timeout(10):
        while not (await asyncio.wait({reading}, timeout=0.02))[0]:
            if b"HT" in sent:
                writer.write(b"x")
    with contextlib.suppress(ConnectionError):
        assert status_of(reading.result()) in {0, 400}
    writer.close()


async def test_a_slow_body(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """408 after the time that every request has."""
    monkeypatch.setattr(http_protocol, "REQUEST_SECONDS", 0.1)
    served = await serve()
    answer = await served.exchange(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n{")
    assert status_of(answer) == 408
    assert b"connection: close" in answer.lower()


async def test_an_idle_connection(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends after its time."""
    monkeypatch.setattr(http_server, "IDLE_SECONDS", 0.1)
    served = await serve()
    reader, writer = await served.connect()
    writer.write(GET)
    await read_answer(reader)
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()


async def test_an_answer_that_nobody_takes(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection is ended, and its memory free."""
    monkeypatch.setattr(http_protocol, "STALLED_SECONDS", 0.2)
    served = await serve()
    _, writer = await served.connect(limit=1024)
    writer.write(GET.replace(b"/x", b"/large"))
    await eventually_async(lambda: _true(bool(served.app.asked)))
    await eventually_async(lambda: _true(not served.server._state.connections))
    writer.close()


async def test_an_old_connection_ends_with_an_answer(serve: Serve) -> None:
    """Its next answer says that it is the last; no request is swallowed."""
    served = await serve(limits=replace(LIMITS, max_connection_age=0.0))
    reader, writer = await served.connect()
    writer.write(GET)
    assert b"connection: close" in await read_answer(reader)
    assert await reader.read() == b""
    writer.close()


async def test_more_connections_than_are_served(serve: Serve) -> None:
    """They are closed at once; those that are there go on."""
    served = await serve(connections=2)
    first, second = await served.connect(), await served.connect()
    for reader, writer in (first, second):
        writer.write(GET)
        assert status_of(await read_answer(reader)) == 200
    assert await served.exchange(GET) == b""
    first[1].close()
    await eventually_async(lambda: _true(len(served.server._state.connections) == 1))
    assert status_of(await served.exchange(GET.replace(b"1.1", b"1.0"))) == 200
    second[1].close()


async def test_more_requests_than_are_served(serve: Serve) -> None:
    """503 with the time to wait."""
    served = await serve(limits=replace(LIMITS, max_concurrent_rpcs=0))
    answer = await served.exchange(GET.replace(b"1.1", b"1.0"))
    assert (status_of(answer), b"retry-after: 1" in answer) == (503, True)


async def test_a_client_that_leaves(serve: Serve) -> None:
    """What is done for it is cancelled, a stream too."""
    served = await serve()
    for path in (b"/wait", b"/stream"):
        _, writer = await served.connect()
        served.app.asked.clear()
        writer.write(GET.replace(b"/x", path))
        await eventually_async(lambda: _true(served.app.asked))
        writer.transport.abort()
    served.app.go_on.set()
    await eventually_async(lambda: _true(served.app.ended == ["wait", "stream"]))


async def test_a_stream(serve: Serve) -> None:
    """Its pieces come as they are there."""
    served = await serve()
    reader, writer = await served.connect()
    writer.write(GET.replace(b"/x", b"/stream"))
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head.lower()
    assert await reader.readuntil(b"one\r\n") == b"3\r\none\r\n"
    served.app.go_on.set()
    assert await reader.readuntil(b"0\r\n\r\n") == b"3\r\ntwo\r\n0\r\n\r\n"
    writer.close()


async def test_a_drain(serve: Serve) -> None:
    """Nobody new gets in; who waits is answered; who is idle is ended; what never ends is cut off."""
    served = await serve()
    idle, waiting = await served.connect(), await served.connect()
    idle[1].write(GET)
    await read_answer(idle[0])
    waiting[1].write(GET.replace(b"/x", b"/wait"))
    await eventually_async(lambda: _true(len(served.app.asked) == 2))
    stopping = asyncio.create_task(served.server.stop(10))
    assert await idle[0].read() == b""
    with pytest.raises(ConnectionError):
        await served.connect()
    served.app.go_on.set()
    answer = await read_answer(waiting[0])
    assert (status_of(answer), b"connection: close" in answer) == (200, True)
    await stopping
    for _, writer in (idle, waiting):
        writer.close()


async def test_a_drain_without_time(serve: Serve) -> None:
    """It ends at once."""
    served = await serve()
    _, writer = await served.connect()
    writer.write(GET.replace(b"/x", b"/wait"))
    await eventually_async(lambda: _true(bool(served.app.asked)))
    await served.server.stop(None)
    await eventually_async(lambda: _true(served.app.ended == ["wait"]))
    writer.close()


async def test_a_unix_socket(serve: Serve, tmp_path: Path) -> None:
    """In the place of one that was left behind, and gone in the end; its peer has no address."""
    path = tmp_path / "s"
    left, _ = listening(f"unix:{path}", share_port=False)
    left[0].close()
    served = await serve(f"unix:{path}")
    assert status_of(await served.exchange(GET.replace(b"1.1", b"1.0"))) == 200
    assert served.app.asked[0].peer == "unix:"
    await served.server.stop(None)
    assert not path.exists()


async def test_tls(serve: Serve, certificate_authority: CertificateAuthority) -> None:
    """The client's certificate reaches the app; who shows none is turned away where one is demanded."""
    own, client = certificate_authority.issue("localhost"), certificate_authority.issue("billing")
    served = await serve(
        certificates=CertificateWatch(own.certificate, own.key, certificate_authority.certificate)
    )
    context = ssl.create_default_context(cafile=str(certificate_authority.certificate))
    assert await served.exchange(GET, ssl=context, server_hostname="localhost") == b""
    context.load_cert_chain(client.certificate, client.key)
    answer = await served.exchange(GET.replace(b"1.1", b"1.0"), ssl=context, server_hostname="localhost")
    assert status_of(answer) == 200
    [request] = served.app.asked
    assert request.secure
    assert request.certificate == ssl.PEM_cert_to_DER_cert(client.certificate.read_text())


async def test_a_handshake_that_never_ends(serve: Serve, certificate_authority: CertificateAuthority) -> None:
    """It has its time."""
    own = certificate_authority.issue("localhost")
    served = await serve(certificates=CertificateWatch(own.certificate, own.key))
    async with asyncio.timeout(10):
        assert await served.exchange(b"\x16\x03\x01") == b""


async def _true(value: object) -> bool:
    return bool(value)
