"""What is counted and timed, as objects that the other packages call as their observers.

Children are bound once, and what every call observes is tallied (``tallies``). Every label has a fixed
set of values: no caller can add a series.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from session_service.domain.events import Action, AuditEvent
from session_service.domain.models import Stats, SweepReport
from session_service.observability.tallies import Count, Tallies, Tally

_OTHER = "other"
_CALL_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_STORE_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0)
_HASHING_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_CREATING = frozenset({Action.LOGIN, Action.SESSION_CREATED})
_REASON_LIMIT = 64


class CallMetrics:
    """RPCs by method and reason: rate, errors and duration in one histogram.

    Args:
        registry: where they are collected.
        tallies: what keeps them.
        methods: full names (``/session.v1.SessionService/Login``); any other counts as ``other``.
    """

    def __init__(self, registry: CollectorRegistry, tallies: Tallies, methods: Collection[str]) -> None:
        self._tallies = tallies
        self._calls = Histogram(
            "session_rpc_duration_seconds",
            "Duration of RPCs by method and reason; _count is how many.",
            ("method", "reason"),
            registry=registry,
            buckets=_CALL_BUCKETS,
        )
        self._methods = frozenset(methods)
        self._reasons: set[str] = set()
        self._series: dict[tuple[str, str], Tally] = {}
        self._bound: dict[tuple[str, str], Tally] = {}

    def call_ended(self, method: str, reason: str, seconds: float) -> None:
        """Note a call that took so many seconds."""
        bound = self._bound.get((method, reason))
        if bound is None:
            bound = self._bind(method, reason)
        bound.observe(seconds)

    def calls_ended(self, method: str, reason: str, seconds: float, count: int) -> None:
        """Note calls that took so many seconds each."""
        bound = self._bound.get((method, reason)) or self._bind(method, reason)
        bound.observe_many(seconds, count)

    def _bind(self, method: str, reason: str) -> Tally:
        known = method in self._methods
        labels = (method.removeprefix("/") if known else _OTHER, self._limited(reason))
        bound = self._series.get(labels)
        if bound is None:
            bound = self._series[labels] = self._tallies.tally(self._calls.labels(*labels), _CALL_BUCKETS)
        if known:
            self._bound[method, reason] = bound
        return bound

    def _limited(self, reason: str) -> str:
        if len(self._reasons) < _REASON_LIMIT:
            self._reasons.add(reason)
        return reason if reason in self._reasons else _OTHER


class DecisionMetrics:
    """What gateways were answered; a ``rpc.decisions.DecisionObserver``."""

    def __init__(self, registry: CollectorRegistry, tallies: Tallies) -> None:
        self._tallies = tallies
        self._decisions = Counter(
            "session_gateway_decisions",
            "Requests that gateways asked about, by protocol (envoy, http) and outcome: ALLOWED, PUBLIC, or "
            "the reason of the denial.",
            ("protocol", "outcome"),
            registry=registry,
        )
        self._bound: dict[tuple[str, str], Count] = {}

    def decided(self, protocol: str, outcome: str, count: int = 1) -> None:
        """Note so many decisions; both words come from the code and not from a caller."""
        bound = self._bound.get((protocol, outcome))
        if bound is None:
            series = self._decisions.labels(protocol, outcome)
            bound = self._bound[protocol, outcome] = self._tallies.count(series)
        bound.add(count)


class StoreMetrics:
    """Round trips to Redis."""

    def __init__(self, registry: CollectorRegistry, tallies: Tallies) -> None:
        trips = Histogram(
            "session_redis_round_trip_seconds",
            "Round trips to Redis by kind: read or script.",
            ("kind",),
            registry=registry,
            buckets=_STORE_BUCKETS,
        )
        faults = Counter(
            "session_redis_faults", "Round trips that Redis did not answer.", ("kind",), registry=registry
        )
        self._read = tallies.tally(trips.labels("read"), _STORE_BUCKETS)
        self._script = tallies.tally(trips.labels("script"), _STORE_BUCKETS)
        self._read_fault, self._script_fault = faults.labels("read"), faults.labels("script")

    def read(self, seconds: float) -> None:
        """Note an answered read."""
        self._read.observe(seconds)

    def script(self, seconds: float) -> None:
        """Note an answered change."""
        self._script.observe(seconds)

    def read_failed(self) -> None:
        """Note a read without an answer."""
        self._read_fault.inc()

    def script_failed(self) -> None:
        """Note a change without an answer."""
        self._script_fault.inc()


class HashingMetrics:
    """The password-hashing queue; a ``users.hashing.HashingObserver``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._depth = Gauge(
            "session_hashing_depth",
            "Calls that wait or hash.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._waited = Histogram(
            "session_hashing_wait_seconds",
            "Time a call waited for a hashing thread.",
            registry=registry,
            buckets=_HASHING_BUCKETS,
        )
        self._took = Histogram(
            "session_hashing_seconds",
            "Time a hash took in its thread.",
            registry=registry,
            buckets=_HASHING_BUCKETS,
        )
        self._shed = Counter(
            "session_hashing_shed", "Calls turned away because the queue was full.", registry=registry
        )

    def queued(self, depth: int) -> None:
        """Set how many calls wait or hash."""
        self._depth.set(depth)

    def hashed(self, waited: float, took: float) -> None:
        """Note a call served, in seconds."""
        self._waited.observe(waited)
        self._took.observe(took)

    def shed(self) -> None:
        """Note a call turned away."""
        self._shed.inc()


class SweepMetrics:
    """The sweep of the index, and the totals it counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._runs = Counter("session_sweeps", "Sweeps that ended.", registry=registry)
        self._scanned = Counter("session_sweep_scanned", "Index entries looked at.", registry=registry)
        self._removed = Counter("session_sweep_removed", "Dead index entries removed.", registry=registry)
        # All workers see the same store; the one that swept last knows best.
        self._active = Gauge(
            "session_active",
            "Live sessions at the last sweep.",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._users = Gauge(
            "session_users", "Users at the last sweep.", registry=registry, multiprocess_mode="mostrecent"
        )

    def swept(self, report: SweepReport) -> None:
        """Note a sweep."""
        self._runs.inc()
        self._scanned.inc(report.scanned)
        self._removed.inc(report.removed)

    def counted(self, stats: Stats) -> None:
        """Set the totals that a sweep leaves behind."""
        self._active.set(stats.active_sessions)
        self._users.set(stats.users)


class EventMetrics:
    """Audit events and the sessions they created and ended."""

    def __init__(self, registry: CollectorRegistry) -> None:
        events = Counter("session_events", "Audit events by action.", ("action",), registry=registry)
        self._events = {action: events.labels(action.value) for action in Action}
        self._created = Counter("session_created", "Sessions created.", registry=registry)
        self._ended = Counter(
            "session_ended", "Sessions ended by a logout, revocation, eviction or theft.", registry=registry
        )
        self._written = Counter("session_audit_written", "Audit events written to Redis.", registry=registry)
        self._lost = Counter(
            "session_audit_lost", "Audit events dropped while Redis was away.", registry=registry
        )

    def happened(self, event: AuditEvent) -> None:
        """Note an event."""
        self._events[event.action].inc()
        if not event.confirmed:
            return
        if event.action in _CREATING:
            self._created.inc()
        elif event.action is Action.EVICT:
            self._ended.inc()
        elif event.count:
            self._ended.inc(event.count)

    def written(self, count: int) -> None:
        """Note events that reached the stream."""
        self._written.inc(count)

    def lost(self, count: int) -> None:
        """Note events that never will."""
        self._lost.inc(count)


class EngineMetrics:
    """What an engine counts by itself, since no call comes of it."""

    _OPEN: Final = {
        "connections": "Connections that are open.",
        "calls": "Requests that are open, streams among them.",
    }
    _SO_FAR: Final = {
        "accepted": "Requests that came in whole, streams as soon as they begin.",
        "refused_connections": "Connections closed at once because too many were open.",
        "refused_calls": "Requests refused because too many were open.",
        "failed_handshakes": "Connections whose TLS handshake failed or took too long.",
        "malformed": "Requests and connections that were no HTTP or gRPC.",
        "timed_out": "Connections and requests that took too long.",
        "floods": "Connections ended for a flood of resets, pings, settings or empty frames.",
    }

    def __init__(self, registry: CollectorRegistry) -> None:
        self._open = {
            name: Gauge(f"session_engine_{name}", text, registry=registry, multiprocess_mode="livesum")
            for name, text in self._OPEN.items()
        }
        self._so_far = {
            name: Counter(f"session_engine_{name}", text, registry=registry)
            for name, text in self._SO_FAR.items()
        }
        self._last = dict.fromkeys(self._SO_FAR, 0)

    def counted(self, counts: Mapping[str, int]) -> None:
        """Note what is open now, and what has happened since the last time.

        Args:
            counts: by name; those of no metric are passed over.
        """
        for name, gauge in self._open.items():
            gauge.set(counts.get(name, 0))
        for name, counter in self._so_far.items():
            now = counts.get(name, 0)
            counter.inc(max(0, now - self._last[name]))
            self._last[name] = now


class Metrics:
    """All of them.

    Args:
        registry: where they are collected; one per process.
        methods: full names of the RPCs served.
    """

    def __init__(self, registry: CollectorRegistry, methods: Collection[str]) -> None:
        self._registry = registry
        self._certificate: Gauge | None = None
        self.tallies = Tallies(registry)
        self.calls = CallMetrics(registry, self.tallies, methods)
        self.decisions = DecisionMetrics(registry, self.tallies)
        self.store = StoreMetrics(registry, self.tallies)
        self.hashing = HashingMetrics(registry)
        self.sweeps = SweepMetrics(registry)
        self.events = EventMetrics(registry)
        self.engine = EngineMetrics(registry)
        self.store_up = Gauge(
            "session_store_up",
            "Whether Redis answers, as health reports it: 1 or 0.",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.watched = Gauge(
            "session_watched_answers",
            "Answers whose changes are watched, for clients' verifiers and for checks from memory.",
            registry=registry,
            multiprocess_mode="livesum",
        )

    def certificate_expires(self, at: float) -> None:
        """Show when the served certificate ends, in seconds since 1970; without TLS nothing is shown."""
        if self._certificate is None:
            self._certificate = Gauge(
                "session_tls_certificate_expiry_seconds",
                "When the certificate that is served ends, in seconds since 1970; earliest of all workers.",
                registry=self._registry,
                multiprocess_mode="livemin",
            )
        self._certificate.set(at)
