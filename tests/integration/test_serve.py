"""`session-service serve` outside development mode: what it needs, what it says, how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jwt
import pytest
from session_api.v1.error_reason_pb2 import ERROR_REASON_TOKEN_INVALID

from tests.support import ServiceProcess, eventually
from tests.support.processes import alive
from tests.support.service_client import connect
from tests.support.watching import watching

# Each test runs on both engines.
pytestmark = pytest.mark.usefixtures("engine")

Start = Callable[..., ServiceProcess]
NOTHING: dict[str, Any] = {"tokens": {"key_file": None}}


@pytest.fixture
def prepare() -> Iterator[Callable[..., ServiceProcess]]:
    """A function that makes a service without starting it."""
    with ExitStack() as services:

        def prepare(**sections: Any) -> ServiceProcess:
            service = ServiceProcess(sections)
            services.callback(service.close)
            return service

        yield prepare


def kid(token: str) -> str:
    """Which key signed."""
    return str(jwt.get_unverified_header(token)["kid"])


def test_nothing_is_made_up(prepare: Start) -> None:
    """Without a Redis and a key file it does not start, and says which keys are missing."""
    ended = prepare(**NOTHING).run("serve")

    assert ended.returncode == 2
    assert ended.stdout == ""
    assert "redis is not configured: set one of redis.url" in ended.stderr
    assert "tokens.key_file is not set (SESSION_TOKENS__KEY_FILE=...)" in ended.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("content", "error"),
    [
        (None, "cannot read the key file"),
        ("secret-but-no-json", "is not usable JSON"),
        ('{"access": {"keys": []}, "refresh": {"keys": []}}', '"access" must be a JWK set'),
    ],
)
def test_keys_that_cannot_be_used_are_told_once(
    prepare: Start, workers: str, content: str | None, error: str
) -> None:
    """The file and the fault are named in one line, and nothing of the content."""
    service = prepare(redis={"host": "127.0.0.1"})
    service.key_file.unlink()
    if content is not None:
        service.key_file.write_text(content)

    ended = service.run("serve", "--workers", workers)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("Error: ")
    assert str(service.key_file) in ended.stderr
    assert error in ended.stderr
    assert "secret" not in ended.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_taken_port_is_told(prepare: Start, workers: str) -> None:
    """The address is named and nothing is served, not even beside a process that would share the port."""
    service = prepare(redis={"host": "127.0.0.1"})
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        host, _, port = service.address.rpartition(":")
        taken.bind((host, int(port)))
        taken.listen()
        ended = service.run("serve", "--workers", workers)

    assert ended.returncode == 1
    assert ended.stderr == f"Error: cannot listen on {service.address}: Address already in use\n"


def test_a_taken_metrics_port_is_told(prepare: Start) -> None:
    """It is named by its key."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = prepare(redis={"host": "127.0.0.1"}, metrics={"listen": address}).run("serve")

    assert ended.returncode == 1
    assert ended.stderr == f"Error: metrics.listen: cannot listen on {address}: Address already in use\n"


def test_workers_do_not_share_a_unix_socket(prepare: Start) -> None:
    """Several workers behind a unix socket are refused, by key, also when asked for on the command line."""
    service = prepare(redis={"host": "127.0.0.1"}, server={"listen": "unix:service.sock"})

    ended = service.run("serve", "--workers", "2")
    assert ended.returncode == 2
    assert "server.workers" in ended.stderr


async def test_a_unix_socket_is_served_on(start: Start) -> None:
    """A path instead of a port; a second server on it is told so instead of taking it over."""
    service = start(server={"listen": "unix:/tmp/session-service-test.sock", "shutdown_grace": 1})
    async with connect(service.address, service.admin_key) as client:
        await client.open_session()

        ended = service.run("serve")
        assert ended.returncode == 1
        assert ended.stderr.endswith("another process serves on it\n")
        await client.open_session()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_order(start: Start, how: signal.Signals) -> None:
    """SIGTERM and Ctrl-C both drain and end with code 0."""
    service = start()
    service.signal(how)

    assert service.wait() == 0
    assert service.events("draining")
    assert "Traceback" not in service.log()


async def test_the_keys_are_read_again(start: Start) -> None:
    """After a rotation and SIGHUP the new key signs, and tokens of the former go on."""
    service = start()
    async with connect(service.address, service.admin_key) as client:
        before = (await client.open_session()).access_token
        assert service.run("keys", "rotate", str(service.key_file)).returncode == 0
        service.signal(signal.SIGHUP)
        eventually(lambda: service.events("keys read again"))

        after = (await client.open_session()).access_token
        new, former = json.loads(service.key_file.read_text())["access"]["keys"]
        assert (kid(before), kid(after)) == (former["kid"], new["kid"])
        for token in (before, after):
            await client.verify(token)


async def test_a_key_that_is_withdrawn_is_withdrawn_from_memory(start: Start) -> None:
    """Who remembers a token of that key is told at once, and the token is refused from then on."""
    service = start()
    async with connect(service.address, service.admin_key) as client, watching(client) as stream:
        token = (await client.open_session()).access_token
        assert (await stream.verified(1, token)).HasField("valid_for")
        assert service.run("keys", "rotate", str(service.key_file), "--keep", "1").returncode == 0
        service.signal(signal.SIGHUP)
        assert list((await stream.heard()).invalidated.ids) == [1]
        await stream.verify(2, token)
        assert (await stream.heard()).failed.failure.reason == ERROR_REASON_TOKEN_INVALID


async def test_keys_that_cannot_be_used_change_nothing(start: Start) -> None:
    """A broken file at SIGHUP is logged without its content, and the service goes on with what it has."""
    service = start()
    async with connect(service.address, service.admin_key) as client:
        service.key_file.write_text("secret-but-no-json")
        service.signal(signal.SIGHUP)
        [event] = eventually(lambda: service.events("keys kept as they were"))

        assert "is not usable JSON" in event["problem"]
        assert "secret" not in service.log()
        await client.verify((await client.open_session()).access_token)


async def test_an_embedded_redis_keeps_its_sessions(prepare: Start) -> None:
    """`redis.embedded` serves outside development mode too, and a restart keeps every session."""
    service = prepare(redis={"embedded": True})
    service.start()
    async with connect(service.address, service.admin_key) as client:
        token = (await client.open_session()).access_token
    assert service.stop() == 0
    service.start()
    async with connect(service.address, service.admin_key) as client:
        await client.verify(token)


def test_a_stop_while_starting_leaves_nothing_behind(prepare: Start) -> None:
    """SIGTERM before the service is ready ends an embedded Redis too."""
    service = prepare(redis={"embedded": True})
    log = service.data_directory / "redis.log"
    service.launch()
    eventually(lambda: log.exists() and "ready to accept connections" in log.read_text(), timeout=20)
    service.signal(signal.SIGTERM)

    service.wait()
    eventually(lambda: "bye bye" in log.read_text())
    assert "Traceback" not in service.log()


def test_the_command_line_has_no_part_of_a_secret(start: Start) -> None:
    """Neither arguments nor environment of the process show a key or password to the machine's users."""
    service = start("--workers", "2")
    secrets = {service.admin_key, *(jwk["d"] for jwk in service.key_document["access"]["keys"])}
    for pid in {service.pid, *service.worker_pids}:
        assert alive(pid)
        shown = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        assert not [secret for secret in secrets if os.fsencode(secret) in shown]
