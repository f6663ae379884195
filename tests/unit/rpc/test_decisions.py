"""Each decision is told once, by its outcome; what nobody foresaw is logged as well."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from session_service.domain.errors import SessionEnded, StoreUnavailable
from session_service.domain.models import Identity
from session_service.rpc.decisions import Decisions

ADA = Identity("u-1", "s-1", "ada", (), 1, 2, 3)


@dataclass
class Observer:
    """Remembers what it is told."""

    told: list[tuple[str, str]] = field(default_factory=list)

    def decided(self, protocol: str, outcome: str, count: int = 1) -> None:
        """Note it."""
        self.told += [(protocol, outcome)] * count


def test_outcomes(caplog: pytest.LogCaptureFixture) -> None:
    """A user, a public path, and the reason of a denial, which is no line of the log."""
    observer = Observer()
    decisions = Decisions(observer, "envoy")
    decisions.passed(ADA)
    decisions.passed(None)
    decisions.denied(SessionEnded())
    decisions.denied(StoreUnavailable())
    outcomes = ["ALLOWED", "PUBLIC", "SESSION_ENDED", "STORE_UNAVAILABLE"]
    assert observer.told == [("envoy", outcome) for outcome in outcomes]
    assert not caplog.records


def test_a_bug_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It is INTERNAL to the observer, and the log has the cause."""
    observer = Observer()
    Decisions(observer, "http").denied(RuntimeError("the cause"))
    assert observer.told == [("http", "INTERNAL")]
    assert "the cause" in caplog.text
