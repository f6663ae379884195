"""Metrics over HTTP, of one process and of several."""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry

from session_service.observability.exposition import (
    MetricsServer,
    forget_worker,
    share_metrics,
    shared_registry,
)
from session_service.observability.metrics import Metrics

if TYPE_CHECKING:
    from pathlib import Path

WORKER = """
import os
from prometheus_client import CollectorRegistry
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
    server = MetricsServer(registry, "127.0.0.1", 0)
    metrics.calls.call_ended("/s/M", "OK", 0.25)
    assert 'session_rpc_duration_seconds_count{method="s/M",reason="OK"} 1.0' in _scrape(server)
    server.close()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.port)) != 0


def test_a_port_in_use_is_an_error() -> None:
    """Two servers never share a port silently."""
    server = MetricsServer(CollectorRegistry(), "127.0.0.1", 0)
    with pytest.raises(OSError, match="in use"):
        MetricsServer(CollectorRegistry(), "127.0.0.1", server.port)
    server.close()


def test_the_supervisor_serves_the_sum_of_its_workers(shared: Path) -> None:
    """Counts of all workers add up and outlive them; gauges of those that ended are dropped."""
    first, second = _worker(), _worker()
    server = MetricsServer(shared_registry(shared), "127.0.0.1", 0)
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
