"""``make bench`` from end to end, as short as it goes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import require_tool

ROOT = Path(__file__).parents[2]
METHODS = ("empty_handler", "verify_token", "list_sessions", "refresh_token", "logout", "login")
RATIOS = {
    "verify_cpu_ratio",
    "verify_cpu_ratio_1m",
    "session_bytes",
    "session_bytes_stock",
    "known_device_bytes",
    "verify_p99_login_storm_ratio",
    "sweep_longest_command_ms",
    "workers_2_ratio",
    "grpc_aio_empty_cpu_us",
    "envoy_empty_cpu_us",
    "envoy_verify_cpu_us",
    "envoy_verify_per_second",
    "envoy_verify_cpu_ratio",
    "envoy_verify_over_empty",
    "rest_verify_over_grpc",
    "check_over_verify",
    "near_cache_over_empty",
    "envoy_near_cache_over_empty",
    "sdk_hit_per_s",
    "sdk_hit_awaited_per_s",
    "sdk_hit_over_jwt",
    "watched_bytes_sdk",
    "batch_us_per_token",
    "envoy_batch_us_per_token",
}
# In a short run they may be nothing at all: what is told before its acknowledgement, pages of memory, ticks.
SMALL = {
    f"{engine}{name}"
    for engine in ("", "envoy_")
    for name in (
        "revocation_lag_ms_p50",
        "revocation_lag_ms_p99",
        "revocation_lag_busy_ms_p50",
        "revocation_lag_busy_ms_p99",
        "idle_watchers_cpu",
        "watched_bytes_server",
    )
}
SHARING = {
    f"{name}_strict{part}_{what}"
    for part in ("", "_open")
    for name, what in (
        ("shared", "total_over_unary"),
        ("shared", "total_us"),
        ("unary", "total_us"),
        ("shared", "p99_ms"),
        ("unary", "p99_ms"),
    )
}
# What a route's guard adds is a difference, which in a short run may be less than the noise.
DIFFERENCES = {"gateway_added_ms_p50", "gateway_added_ms_p99"}
MEASURED = {
    f"{method}_{column}" for method in METHODS for column in ("cpu_us", "per_second", "p50_ms", "p99_ms")
}
FAILED = {f"{method}_failed" for method in METHODS}


@pytest.mark.slow
def test_every_figure_is_measured(tmp_path: Path) -> None:
    """The short run measures everything that the long one does, and nothing fails in it."""
    require_tool("go")
    output = tmp_path / "bench.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--output", str(output)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    figures = json.loads(output.read_text())
    assert set(figures) == RATIOS | SHARING | DIFFERENCES | SMALL | MEASURED | FAILED
    assert all(figures[name] > 0 for name in RATIOS | SHARING | MEASURED)
    assert not any(figures[name] for name in FAILED)
