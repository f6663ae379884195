"""The load generator: every request once per round, latencies, CPU time, failed calls told."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from session_api.v1 import session_service_pb2 as pb

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


@pytest.fixture
async def called() -> AsyncIterator[Called]:
    """A real server that answers every method of any name with nothing."""
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
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield Called(Server(f"127.0.0.1:{port}", os.getpid()), messages, bearers)
    await server.stop(None)


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


@pytest.mark.parametrize("command", [["go", "vet", "./..."], ["gofmt", "-l", "."]])
def test_the_program_is_in_order(command: list[str]) -> None:
    """Go's own tools find nothing wrong."""
    require_tool(command[0])
    source = Path(__file__).parents[2] / "benchmarks" / "loadgen"
    checked = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stderr
