"""``make bench`` from end to end, as short as it goes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import require_tool

ROOT = Path(__file__).parents[2]
ON_BOTH_ENGINES = ("empty_handler", "verify_token", "list_sessions", "refresh_token", "logout")
METHODS = (*ON_BOTH_ENGINES, *(f"grpc_aio_{method}" for method in ON_BOTH_ENGINES), "login")
RATIOS = {
    "go_verify_cpu_us",
    "go_verify_per_second",
    "go_empty_cpu_us",
    "go_verify_p50_ms",
    "go_verify_p99_ms",
    "go_verify_paced_cpu_us",
    "verify_paced_cpu_us",
    "verify_cpu_over_go",
    "verify_per_second_over_go",
    "verify_p50_over_go",
    "verify_p99_over_go",
    "verify_cpu_paced_over_go",
    "verify_p99_paced_over_go",
    "verify_over_empty",
    "verify_over_empty_batched",
    "empty_batched_cpu_us",
    "near_cache_over_empty",
    "near_cache_over_verify",
    "grpc_aio_verify_over_empty",
    "grpc_aio_near_cache_over_empty",
    "verify_cpu_ratio",
    "rest_verify_over_grpc",
    "rest_http1_verify_over_grpc",
    "authz_over_grpc",
    "check_over_verify",
    "tls_verify_over_plain",
    "list_sessions_over_grpc_aio",
    "refresh_token_over_grpc_aio",
    "logout_over_grpc_aio",
    "login_over_grpc_aio",
    "verify_p99_login_storm_ratio",
    "workers_2_ratio",
    "ready_s",
    "grpc_aio_ready_s",
    "worker_rss_mb",
    "sdk_hit_per_s",
    "sdk_hit_awaited_per_s",
    "sdk_hit_over_jwt",
    "watched_bytes_sdk",
    "batch_us_per_token",
    "grpc_aio_batch_us_per_token",
    "session_bytes",
    "session_bytes_stock",
    "known_device_bytes",
    "verify_cpu_ratio_1m",
    "sweep_longest_command_ms",
} | {
    f"{engine}{name}"
    for engine in ("", "grpc_aio_")
    for load in ("", "_open")
    for name in (
        f"shared_strict{load}_total_over_unary",
        *(f"{how}_strict{load}_{what}" for how in ("unary", "shared") for what in ("total_us", "p99_ms")),
    )
}
# In a short run they may be nothing at all: what arrives before its acknowledgement, pages of memory.
SMALL = {
    f"{engine}{name}"
    for engine in ("", "grpc_aio_")
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
MEASURED_FIGURES = RATIOS | DIFFERENCES | SMALL | MEASURED | FAILED


@pytest.mark.slow
@pytest.mark.timeout(900)
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
