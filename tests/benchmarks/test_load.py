"""The load generator: every request once per round, latencies, CPU time, failed calls told."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from session_api.v1 import session_service_pb2 as pb

from benchmarks.certificate import make_certificate
from benchmarks.errors import BenchmarkError
from benchmarks.load import Load, LoadGenerator, Request
from benchmarks.processes import Server
from tests.support import require_tool

REFUSED = b"refused"


@dataclass
class Called:
    """A server in this process, and what it was called with."""

    server: Server
    messages: Counter[bytes]
    bearers: Counter[str]


@asynccontextmanager
async def answering(credentials: grpc.ServerCredentials | None = None) -> AsyncIterator[Called]:
    """Serve every method of any name around a block; it is answered with nothing."""
    messages: Counter[bytes] = Counter()
    bearers: Counter[str] = Counter()

    async def answer(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        messages[request] += 1
        bearers.update(
            str(value) for key, value in context.invocation_metadata() or () if key == "authorization"
        )
        if REFUSED in request:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "not you")
        return b""

    handlers: dict[str, Any] = {"VerifyToken": grpc.unary_unary_rpc_method_handler(answer)}
    service = grpc.method_handlers_generic_handler("session.v1.SessionService", handlers)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((service,))
    address = "127.0.0.1:0"
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    await server.start()
    yield Called(Server(f"127.0.0.1:{port}", os.getpid()), messages, bearers)
    await server.stop(None)


@pytest.fixture
async def called() -> AsyncIterator[Called]:
    """A real server in plain text."""
    async with answering() as serving:
        yield serving


@pytest.fixture
def generator(tmp_path: Path) -> LoadGenerator:
    """The load generator, built."""
    require_tool("go")
    return LoadGenerator(tmp_path)


async def put_on(generator: LoadGenerator, called: Called, requests: list[Request], **how: Any) -> Any:
    """Put a load on the server."""
    load = Load(called.server, "VerifyToken", generator.requests(requests), **how)
    return await asyncio.to_thread(generator.run, load)


def request(token: str, bearer: str = "") -> Request:
    """A request that carries a token."""
    return Request(pb.VerifyTokenRequest(token=token), bearer)


async def test_each_request_is_made_in_turn(generator: LoadGenerator, called: Called) -> None:
    """As many calls as requests make each of them once, with its own message and access token."""
    requests = [request(f"t{number}", f"b{number}") for number in range(100)]
    result = await put_on(generator, called, requests, calls=100, in_flight=16)
    assert called.messages == Counter(each.raw for each in requests)
    assert called.bearers == Counter(f"Bearer b{number}" for number in range(100))
    assert (result.calls, result.failed) == (100, 0)


async def test_requests_are_gone_around_until_the_time_is_over(
    generator: LoadGenerator, called: Called
) -> None:
    """A load by time makes the requests again and again, and measures them."""
    result = await put_on(generator, called, [request("a"), request("b")], seconds=0.2, in_flight=4)
    first, second = called.messages.values()
    assert abs(first - second) <= 1
    assert result.calls == first + second > 2
    assert 0 < result.p50_us <= result.p99_us
    assert 0.2 <= result.seconds < 2
    assert result.rate == result.calls / result.seconds
    assert result.cpu_us > 0


async def test_large_messages_wait_for_the_servers_window(generator: LoadGenerator, called: Called) -> None:
    """More bytes than a server takes at once are sent as it makes room."""
    large = "x" * 12_000
    result = await put_on(generator, called, [request(large)], calls=60, in_flight=30, connections=1)
    assert (result.calls, result.failed) == (60, 0)


async def test_calls_are_begun_evenly(generator: LoadGenerator, called: Called) -> None:
    """A load by rate begins as many calls as are due, whatever comes of them."""
    result = await put_on(generator, called, [request("a")], seconds=0.5, rate=200.0)
    assert 98 <= result.calls <= 101
    assert 0.49 <= result.seconds < 2


async def test_a_rate_that_cannot_be_kept_has_an_end(generator: LoadGenerator, called: Called) -> None:
    """More calls than may be in flight wait, and are counted from when they were due."""
    result = await put_on(generator, called, [request("a")], calls=200, rate=1e6, in_flight=2)
    assert (result.calls, result.failed) == (200, 0)
    assert result.p50_us > result.seconds * 1e6 / 4


async def test_tls(generator: LoadGenerator, tmp_path: Path) -> None:
    """A certificate has the load encrypted, and the server identified by it."""
    made = make_certificate(tmp_path)
    pair = (made.key.read_bytes(), made.certificate.read_bytes())
    async with answering(grpc.ssl_server_credentials([pair])) as called:
        result = await put_on(generator, called, [request("a")], calls=20, certificate=made.certificate)
    assert (result.calls, called.messages.total()) == (20, 20)


async def test_http1_keeps_connections_open(generator: LoadGenerator) -> None:
    """Calls by HTTP/1.1 follow each other on their connections, with token and body."""
    heads: list[bytes] = []
    connected = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connected
        connected += 1
        with suppress(asyncio.IncompleteReadError):
            while True:
                heads.append(await reader.readuntil(b"\r\n\r\n"))
                assert await reader.readexactly(4) == b"body"
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        requests = generator.requests([Request(b"body", "b1")])
        load = Load(Server(f"127.0.0.1:{port}", os.getpid()), "/page", requests, calls=60, http="POST")
        load = replace(load, http1=True, connections=3, in_flight=3)
        result = await asyncio.to_thread(generator.run, load)
    assert (result.calls, result.failed, connected) == (60, 0, 3)
    assert all(head.startswith(b"POST /page HTTP/1.1\r\n") for head in heads)
    assert all(b"\r\nauthorization: Bearer b1\r\n" in head for head in heads)


async def test_failed_calls_are_no_result(generator: LoadGenerator, called: Called) -> None:
    """A load that fails ends with the first status instead of with figures that mean nothing."""
    requests = [request("fine"), request(REFUSED.decode())]
    with pytest.raises(BenchmarkError, match=r"VerifyToken: 5 of 10 calls failed.* status 16: not you"):
        await put_on(generator, called, requests, calls=10)


async def test_a_server_that_is_not_there_is_told(generator: LoadGenerator, called: Called) -> None:
    """A load on nobody ends with what the network said."""
    nobody = Load(Server("127.0.0.1:1", os.getpid()), "VerifyToken", generator.requests([request("a")]))
    with pytest.raises(BenchmarkError, match="connection refused"):
        await asyncio.to_thread(generator.run, nobody)


def test_without_go_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where there is no Go, the benchmark says what is missing."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BenchmarkError, match="go is not on PATH"):
        LoadGenerator(tmp_path)


GO = Path(__file__).parents[2] / "benchmarks"


# The peer is vetted whenever it is built, as its stubs are not there before.
@pytest.mark.parametrize(
    ("command", "source"),
    [
        (["go", "vet", "./..."], GO / "loadgen"),
        (["gofmt", "-l", "."], GO / "loadgen"),
        (["gofmt", "-l", "."], GO / "peers" / "go"),
    ],
)
def test_the_programs_are_in_order(command: list[str], source: Path) -> None:
    """Go's own tools find nothing wrong."""
    require_tool(command[0])
    checked = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stderr
