"""What Go, Node and Python read of the service is the same, and the same on each engine.

Each program prints what it read as JSON lines; what all of them must print is in `served.jsonl` and
`stalled.jsonl`.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from session_api.v1 import admin_service_pb2 as admin_pb
from session_api.v1.admin_service_pb2_grpc import AdminServiceStub

from tests.support import RedisServer, ServiceProcess, eventually, require_tool
from tests.support.interop import SOURCES, Command, lines, transcript
from tests.support.proxy import TcpProxy

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

SERVED = lines((SOURCES / "served.jsonl").read_text("utf-8"))
STALLED = lines((SOURCES / "stalled.jsonl").read_text("utf-8"))
# How gRPC frames a compressed message (a flag, its length), then how gzip begins (RFC 1952).
COMPRESSED = re.compile(rb"\x01.{4}\x1f\x8b\x08", re.DOTALL)


def test_a_program_reads_what_the_others_read(service: ServiceProcess, program: Command) -> None:
    """Logins, errors with all details, streams, compression: nothing depends on language or engine."""
    assert transcript(program, "served", service.address, service.admin_key) == SERVED


def test_a_program_can_give_up(service: ServiceProcess, redis_server: RedisServer, program: Command) -> None:
    """While the store stands still a deadline is kept, a call can be cancelled, and the service gives up."""
    token = _open_session(service)
    redis_server.pause()
    try:
        printed = transcript(program, "stalled", service.address, token)
    finally:
        redis_server.resume()
    eventually(lambda: _serves(service), timeout=30)

    assert printed == STALLED


async def test_a_program_compresses_what_it_says(service: ServiceProcess, program: Command) -> None:
    """The three requests with gzip are gzip on the wire, so that their answers do say something."""
    host, _, port = service.address.partition(":")
    async with TcpProxy(int(port)) as proxy:
        proxy.requested = []
        address = f"{host}:{proxy.port}"
        printed = await asyncio.to_thread(transcript, program, "served", address, service.admin_key)
        sent = b"".join(proxy.requested)

    assert printed == SERVED
    assert len(COMPRESSED.findall(sent)) == 3


def _open_session(service: ServiceProcess) -> str:
    with grpc.insecure_channel(service.address) as channel:
        request = admin_pb.CreateSessionRequest(user_id="u-1", username="ada")
        metadata = (("x-service-key", service.admin_key),)
        return AdminServiceStub(channel).CreateSession(request, metadata=metadata).access_token


def _serves(service: ServiceProcess) -> bool:
    with grpc.insecure_channel(service.address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        answer = health.Check(health_pb2.HealthCheckRequest())
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def test_the_transcripts_show_each_kind_of_detail() -> None:
    """A code, a reason, metadata, a delay and violations are each compared somewhere."""
    compared = {key for line in SERVED + STALLED for key in line if line.get(key)}

    assert {"code", "reason", "domain", "message", "metadata", "retry_seconds", "violations"} <= compared
    [ended] = [line for line in SERVED if line["case"] == "check after logout"]
    assert (ended["code"], ended["reason"]) == ("UNAUTHENTICATED", "SESSION_ENDED")


def test_the_program_in_go_is_in_gos_format() -> None:
    """The source is as gofmt writes it."""
    command: list[str | Path] = [require_tool("gofmt"), "-l", SOURCES / "go"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout == ""


@pytest.mark.parametrize(
    ("lock", "pinned"),
    [
        ("go/go.sum", r"\S+ v\S+ h1:[A-Za-z0-9+/]{43}="),
        ("node/package-lock.json", r' +"integrity": "sha512-[A-Za-z0-9+/]{86}==",?'),
    ],
)
def test_what_is_installed_is_pinned_by_hash(lock: str, pinned: str) -> None:
    """Every package has a version and a hash, and none an address."""
    text = (SOURCES / lock).read_text("utf-8")
    packages = re.findall(r"^\S+ v\S+ |node_modules/\S+: \{$", text, re.MULTILINE)

    assert len(re.findall(f"^{pinned}$", text, re.MULTILINE)) == len(packages) > 0
    assert "://" not in re.sub(r'"(funding|url)".*', "", text)
