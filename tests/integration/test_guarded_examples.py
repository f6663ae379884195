"""The guarded servers of examples/, against a service as `make run` starts it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TypeAlias

import grpc
import httpx
import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.wrappers_pb2 import StringValue
from session_client import SessionClient

from tests.support import LOOPBACK, eventually
from tests.support.ports import free_port
from tests.support.service_process import ROOT, ServiceProcess

Ask: TypeAlias = Callable[[str, str | None], str]
"""Asks for one of ``WhoAmI`` and ``Secret`` with a token; the answer's text, or the status of a refusal."""

REFUSED = {
    grpc.StatusCode.UNAUTHENTICATED: "401",
    grpc.StatusCode.PERMISSION_DENIED: "403",
    grpc.StatusCode.UNAVAILABLE: "503",
}
PASSWORD = "correct horse battery staple"
PATHS = {"WhoAmI": "/me", "Secret": "/secret"}


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    """A service as `make run` starts it."""
    with ServiceProcess(dev=True) as running:
        added = running.run("user", "add", "boss", "--role", "admin", "--password-stdin", text=PASSWORD)
        assert added.returncode == 0, added.stderr
        yield running


@contextlib.contextmanager
def example(name: str, service: ServiceProcess) -> Iterator[str]:
    """Run an example until Ctrl-C, which is no failure; its address."""
    address = f"{LOOPBACK}:{free_port()}"
    environment = os.environ | service.development_values()
    environment |= {"PYTHONPATH": str(ROOT / "client"), "LISTEN": address}
    with subprocess.Popen([sys.executable, str(ROOT / "examples" / name)], env=environment) as process:
        try:
            yield address
        finally:
            process.send_signal(signal.SIGINT)
    assert process.returncode == 0


def by_grpc(address: str) -> Ask:
    """Asks a server of gRPC."""
    channel = grpc.insecure_channel(address)

    def ask(what: str, token: str | None) -> str:
        method = channel.unary_unary(
            f"/example.Example/{what}", Empty.SerializeToString, StringValue.FromString
        )
        metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        try:
            answer: StringValue = method(Empty(), metadata=metadata, wait_for_ready=True, timeout=20)
        except grpc.RpcError as error:
            return REFUSED[error.code()]
        return answer.value

    return ask


def by_http(address: str) -> Ask:
    """Asks a server of HTTP, once it is there."""

    def ask(what: str, token: str | None) -> str:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        answer = httpx.get(f"http://{address}{PATHS[what]}", headers=headers)
        return answer.text.strip('"') if answer.is_success else str(answer.status_code)

    def healthy() -> bool:
        try:
            return httpx.get(f"http://{address}/healthy").is_success
        except httpx.TransportError:
            return False

    eventually(healthy, timeout=20)
    return ask


@pytest.mark.parametrize(
    ("name", "asking"),
    [
        ("guarded_grpc_aio.py", by_grpc),
        ("guarded_grpc_threads.py", by_grpc),
        ("guarded_fastapi.py", by_http),
        ("guarded_wsgi.py", by_http),
    ],
)
def test_only_who_is_logged_in_and_may_gets_in(
    service: ServiceProcess, name: str, asking: Callable[[str], Ask]
) -> None:
    """No token: 401; the user's: the name; without the role: 403, with it: in; logged out: 401 soon."""
    values = service.development_values()
    with SessionClient(values["SESSION_ADDRESS"]) as sessions, example(name, service) as address:
        token = sessions.login(values["SESSION_DEMO_USERNAME"], values["SESSION_DEMO_PASSWORD"]).access_token
        ask = asking(address)
        assert ask("WhoAmI", None) == "401"
        assert ask("WhoAmI", f"{token}x") == "401"
        assert ask("WhoAmI", token) == "demo"
        assert ask("Secret", token) == "403"
        assert ask("Secret", sessions.login("boss", PASSWORD).access_token) == "42"
        sessions.logout(token)
        eventually(lambda: ask("WhoAmI", token) == "401")
