"""What remembering checked tokens costs and brings: the client's verifier, and the server that tells it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import grpc
from session_api.v1 import session_service_pb2 as pb
from session_api.v1.session_service_pb2_grpc import SessionServiceStub
from session_client import SessionClient

from benchmarks.bench import Bench, Store
from benchmarks.engines import PREFIXES
from benchmarks.errors import BenchmarkError
from benchmarks.figures import Figure, figure
from benchmarks.population import create_sessions
from benchmarks.processes import SERVICE, Server, cpu_seconds, resident_bytes, server

_BATCH: Final = 256
_IDLE_SECONDS: Final = 5.0
# Logouts follow each other so that each is quiet.
_PAUSE: Final = 0.002


def measure_remembering(bench: Bench) -> Iterator[Figure]:
    """All figures; those with a server in them on both engines."""
    with bench.store("remembering") as store:
        for engine, prefix in PREFIXES.items():
            with server(SERVICE, store.config, engine=engine) as service:
                if not prefix:
                    yield from _client(bench, store, service)
                yield from _lags(bench, store, service, prefix)
                yield from _server(bench, store, service, prefix)


def _client(bench: Bench, store: Store, service: Server) -> Iterator[Figure]:
    """The client's side, which no engine changes."""
    bench.say("hits of the client's verifiers, and jwt.decode")
    with _process("hits", service, _tokens(store, bench.scale.tokens)) as child:
        found = child.hear()
    yield figure("sdk_hit_per_s", found["per_s"], least=1_000_000, note="checks from memory, one core")
    yield figure("sdk_hit_awaited_per_s", found["awaited_per_s"], least=500_000, note="the same, awaited")
    yield figure(
        "sdk_hit_over_jwt", found["over_jwt"], least=30, note="jwt.decode HS256 ÷ a check from memory"
    )
    bench.say("memory of a remembered token")
    with _process("memory", service, _tokens(store, bench.scale.tokens)) as child:
        yield figure("watched_bytes_sdk", [child.hear()], must=1_024, note="memory of a token in the client")


def _lags(bench: Bench, store: Store, service: Server, prefix: str) -> Iterator[Figure]:
    """From an end's acknowledgement to the moment at which another process no longer knows the token."""
    for name, bars, busy in (("", (2.0, 10.0), False), ("busy_", (None, None), True)):
        bench.say(f"revocations told to a client{', beside 2,000 checks a second' if busy else ''}")
        with ExitStack() as stack:
            if busy:
                others = _tokens(store, bench.scale.tokens // 10)
                stack.enter_context(_process("checks", service, others)).hear()
            found = _lags_of(bench, store, service)
        for part, bar, place in (("p50", bars[0], 0.5), ("p99", bars[1], 0.99)):
            yield figure(
                f"{prefix}revocation_lag_{name}ms_{part}",
                [found[int(len(found) * place)]],
                must=bar,
                note=f"{part} from an end's acknowledgement to a client's forgetting it",
            )


def _lags_of(bench: Bench, store: Store, service: Server) -> list[float]:
    tokens = _tokens(store, bench.scale.tokens // 10)
    acknowledged = []
    with _process("lag", service, tokens) as child, SessionClient(service.address) as client:
        child.hear()
        for token in tokens:
            client.logout(token)
            acknowledged.append(time.monotonic())
            time.sleep(_PAUSE)
        child.tell()
        gone = child.hear()
    if None in gone:
        raise BenchmarkError("an end was not told to the client")
    return sorted(max(0.0, (then - since) * 1000) for then, since in zip(gone, acknowledged, strict=True))


def _server(bench: Bench, store: Store, service: Server, prefix: str) -> Iterator[Figure]:
    bench.say("idle verifiers")
    with _process("idle", service, _tokens(store, 200)) as child:
        child.hear()
        time.sleep(1.0)  # what connecting leaves to be done
        before = cpu_seconds(service.pid)
        time.sleep(_IDLE_SECONDS)
        share = (cpu_seconds(service.pid) - before) / _IDLE_SECONDS
        child.tell()
    yield figure(f"{prefix}idle_watchers_cpu", [share], must=0.05, note="share of a core, 200 idle verifiers")
    bench.say("memory of a watched token")
    with _process("watch", service, _tokens(store, 2 * bench.scale.tokens)) as child:
        child.hear()
        before_bytes = resident_bytes(service.pid)
        child.tell()
        watched = child.hear()
        grown = resident_bytes(service.pid) - before_bytes
        child.tell()
    yield figure(
        f"{prefix}watched_bytes_server",
        [grown / watched],
        must=1_024,
        note="growth of the server per token",
    )
    bench.say("BatchVerifyTokens")
    yield figure(
        f"{prefix}batch_us_per_token",
        _batches(bench, store, service),
        must=15,
        note=f"CPU per token of BatchVerifyTokens({_BATCH})",
    )


def _batches(bench: Bench, store: Store, service: Server) -> list[float]:
    tokens = _tokens(store, 2 * _BATCH)
    requests = [pb.BatchVerifyTokensRequest(tokens=tokens[at : at + _BATCH]) for at in (0, _BATCH)]
    count = max(10, bench.scale.calls // 50)
    costs = []
    with grpc.insecure_channel(service.address) as channel:
        verify = SessionServiceStub(channel).BatchVerifyTokens
        for _ in range(bench.scale.rounds + 1):
            before = cpu_seconds(service.pid)
            for number in range(count):
                verify(requests[number % 2])
            costs.append((cpu_seconds(service.pid) - before) / (count * _BATCH) * 1e6)
    return costs[1:]


def _tokens(store: Store, count: int) -> list[str]:
    return [each.access_token for each in create_sessions(store.config, count, granted=count)]


class _Child:
    """A client process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def hear(self) -> Any:  # noqa: ANN401 - JSON
        """What it says next."""
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise BenchmarkError("a client process ended without a word")
        return json.loads(line)

    def tell(self) -> None:
        """Let it go on."""
        if self._process.stdin:
            self._process.stdin.write("\n")
            self._process.stdin.flush()


@contextmanager
def _process(what: str, service: Server, tokens: Sequence[str]) -> Iterator[_Child]:
    """Run a client process of ``benchmarks.verifying`` around a block."""
    file = Path(f"{service.pid}-{what}-{time.monotonic_ns()}.tokens")
    with ExitStack() as stack:
        file.write_text("\n".join(tokens), encoding="utf-8")
        stack.callback(file.unlink)
        command = [sys.executable, "-m", "benchmarks.verifying", what, service.address, str(file)]
        process = stack.enter_context(
            subprocess.Popen(  # noqa: S603 - our own
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
            )
        )
        stack.callback(process.kill)
        yield _Child(process)
