"""Metrics over HTTP, of one process and of several."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import urllib.request
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, Counter

from session_service.listen_address import listening
from session_service.observability import exposition
from session_service.observability.exposition import (
    MetricsServer,
    forget_worker,
    share_metrics,
    shared_registry,
)
from session_service.observability.metrics import Metrics
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORKER = """
import os
from prometheus_client import CollectorRegistry, Counter
from session_service.domain.models import Stats
from session_service.observability.metrics import Metrics
metrics = Metrics(CollectorRegistry(), ["/s/M"])
metrics.calls.call_ended("/s/M", "OK", 0.25)
metrics.tallies.flush()
metrics.hashing.queued(3)
metrics.store_up.set(1)
metrics.sweeps.counted(Stats(active_sessions=7, users=2, counted_ms=1, created_sessions=0, ended_sessions=0))
print(os.getpid())
"""


def _listening(port: int = 0) -> list[socket.socket]:
    return listening(f"127.0.0.1:{port}", share_port=False)[0]


def _scrape(server: MetricsServer) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=5) as answer:
        text: bytes = answer.read()
    return text.decode()


def _worker() -> int:
    """Run a worker to its end and return its process id."""
    ran = subprocess.run([sys.executable, "-c", WORKER], check=True, capture_output=True, text=True)
    return int(ran.stdout)


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory that processes started from here on keep their metrics in."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    directory = tmp_path / "metrics"
    share_metrics(directory)
    return directory


def test_one_process_serves_its_own() -> None:
    """What was observed is in the next scrape, and the port is free again after the end."""
    registry = CollectorRegistry()
    metrics = Metrics(registry, ["/s/M"])
    server = MetricsServer(registry, _listening())
    metrics.calls.call_ended("/s/M", "OK", 0.25)
    assert 'session_rpc_duration_seconds_count{method="s/M",reason="OK"} 1.0' in _scrape(server)
    server.close()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.port)) != 0


def test_a_port_in_use_is_an_error() -> None:
    """Two servers never share a port silently."""
    server = MetricsServer(CollectorRegistry(), _listening())
    with pytest.raises(OSError, match="in use"):
        _listening(server.port)
    server.close()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[MetricsServer]:
    """A server of much to read, whose connections last a second at most."""
    monkeypatch.setattr(exposition, "_CONNECTION_SECONDS", 1.0)
    registry = CollectorRegistry()
    for number in range(2_000):
        Counter(f"counter_{number}", "x" * 5_000, registry=registry).inc()
    server = MetricsServer(registry, _listening())
    yield server
    server.close()


def _connect(server: MetricsServer, request: bytes = b"") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port), 5)
    client.sendall(request)
    return client


def _ended(client: socket.socket) -> bool:
    """Whether the server ends a connection within the client's patience."""
    client.settimeout(10)
    with suppress(ConnectionError):
        while client.recv(1 << 20):
            pass
    return True


@pytest.mark.parametrize("request_bytes", [b"", b"GET /metr", b"GET /metrics HTTP/1.1\r\nx: "])
def test_a_client_that_says_nothing_is_ended(small: MetricsServer, request_bytes: bytes) -> None:
    """Silent from the start, in its request line or in its header."""
    with _connect(small, request_bytes) as client:
        assert _ended(client)


def test_a_client_that_goes_on_for_ever_is_ended(small: MetricsServer) -> None:
    """A byte now and then is no reason for more time."""

    def drips(client: socket.socket) -> bool:
        try:
            client.sendall(b"x: y\r\n")
        except ConnectionError:
            return True
        return False

    with _connect(small, b"GET /metrics HTTP/1.1\r\n") as client:
        eventually(lambda: drips(client), timeout=10)


def test_a_client_that_does_not_read_is_ended(small: MetricsServer) -> None:
    """Its answer does not fit into the buffers of the system, and its thread is given back."""
    with _connect(small, b"GET /metrics HTTP/1.0\r\n\r\n"):
        eventually(lambda: small._servers[0]._open, timeout=10)
        eventually(lambda: not small._servers[0]._open, timeout=10)


def test_a_thousand_silent_clients_keep_nobody_out() -> None:
    """The oldest are ended: a scrape gets through, and neither threads nor descriptors run out."""
    registry = CollectorRegistry()
    Counter("some", "x", registry=registry).inc()
    server = MetricsServer(registry, _listening())
    with ExitStack() as clients:
        for _ in range(1_004):
            clients.enter_context(_connect(server))
        assert "some_total 1.0" in _scrape(server)
        eventually(lambda: threading.active_count() < 60, timeout=10)
    server.close()


def test_the_supervisor_serves_the_sum_of_its_workers(shared: Path) -> None:
    """Counts of all workers add up and outlive them; gauges of those that ended are dropped."""
    first, second = _worker(), _worker()
    server = MetricsServer(shared_registry(shared), _listening())
    both = _scrape(server)
    assert 'session_rpc_duration_seconds_count{method="s/M",reason="OK"} 2.0' in both
    assert 'session_rpc_duration_seconds_sum{method="s/M",reason="OK"} 0.5' in both
    assert "session_hashing_depth 6.0" in both
    assert "session_store_up 1.0" in both
    assert "session_active 7.0" in both
    forget_worker(shared, first)
    one = _scrape(server)
    assert 'session_rpc_duration_seconds_count{method="s/M",reason="OK"} 2.0' in one
    assert "session_hashing_depth 3.0" in one
    forget_worker(shared, second)
    assert "session_hashing_depth 3.0" not in _scrape(server)
    server.close()


def test_an_earlier_run_is_not_counted(shared: Path) -> None:
    """A start begins at nought: what a former run left in the directory is removed, and nothing else."""
    _worker()
    other = shared / "README"
    other.touch()
    assert list(shared.glob("*.db"))
    share_metrics(shared)
    assert list(shared.iterdir()) == [other]
    assert shared.stat().st_mode & 0o077 == 0
