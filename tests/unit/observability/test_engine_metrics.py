"""What an engine counts by itself."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from session_service.observability.metrics import EngineMetrics


def test_what_is_open_is_set_and_what_happened_is_added() -> None:
    """Counts so far are told again and again; each event is counted once."""
    registry = CollectorRegistry()
    metrics = EngineMetrics(registry)
    metrics.counted({"connections": 3, "calls": 2, "accepted": 5, "floods": 1, "unknown": 7})
    metrics.counted({"connections": 1, "calls": 0, "accepted": 8, "floods": 1})
    assert registry.get_sample_value("session_engine_connections") == 1
    assert registry.get_sample_value("session_engine_calls") == 0
    assert registry.get_sample_value("session_engine_accepted_total") == 8
    assert registry.get_sample_value("session_engine_floods_total") == 1
    assert registry.get_sample_value("session_engine_malformed_total") == 0
