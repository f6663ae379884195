"""What strict checks cost client and server together when they share calls, against a call for each.

As a program, ``python -m benchmarks.sharing``, it is the client that is measured.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from session_client import AsyncSessionClient, SessionClientError, Timeouts

from benchmarks.bench import Bench
from benchmarks.errors import BenchmarkError
from benchmarks.figures import Figure, figure
from benchmarks.population import create_sessions
from benchmarks.processes import SERVICE, Server, cpu_seconds, server
from session_service.config.sections import Engine

_AT_ONCE: Final = 64
_PER_SECOND: Final = 8_000
# A client that has a call for each check falls behind at that rate; it is to finish all the same.
_PATIENT: Final = Timeouts(read=10.0)
_TOTALS: Final = (
    ("", "closed", 0.35, f"{_AT_ONCE} in flight"),
    ("_open", "open", 0.75, f"{_PER_SECOND:,} begun each second, whatever is answered"),
)


@dataclass(frozen=True, slots=True)
class _Run:
    """What checks came to: CPU of client and server per answered check, and the 99th percentile."""

    total_us: float
    p99_ms: float


def measure_sharing(bench: Bench, engine: Engine = Engine.GRPC_AIO, prefix: str = "") -> Iterator[Figure]:
    """All figures, on one engine.

    Args:
        bench: what a measurement is given.
        engine: what the service runs on.
        prefix: of the figures' names.
    """
    with ExitStack() as stack:
        store = stack.enter_context(bench.store(f"sharing{prefix}"))
        service = stack.enter_context(server(SERVICE, store.config, engine=engine))
        grants = create_sessions(store.config, bench.scale.tokens, granted=bench.scale.tokens)
        tokens = bench.directory / f"{prefix}sharing.tokens"
        tokens.write_text("\n".join(each.access_token for each in grants), encoding="utf-8")
        for part, load, must, note in _TOTALS:
            bench.say(f"strict checks that share calls and such that do not, {note}, {engine.value}")
            run = partial(_client, bench, service, tokens, load)
            pairs = [(run("alone"), run("shared")) for _ in range(bench.scale.rounds)]
            yield figure(
                f"{prefix}shared_strict{part}_total_over_unary",
                [shared.total_us / alone.total_us for alone, shared in pairs],
                must=must,
                note=f"CPU of client and server per strict check, shared calls ÷ a call each, {note}",
            )
            for name, place in (("unary", 0), ("shared", 1)):
                runs = [pair[place] for pair in pairs]
                total, p99 = ([getattr(each, what) for each in runs] for what in ("total_us", "p99_ms"))
                yield figure(f"{prefix}{name}_strict{part}_total_us", total)
                yield figure(f"{prefix}{name}_strict{part}_p99_ms", p99)


def _client(bench: Bench, service: Server, tokens: Path, load: str, how: str) -> _Run:
    arguments = (service.address, str(service.pid), str(tokens), load, how, str(bench.scale.seconds))
    command = [sys.executable, "-m", "benchmarks.sharing", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=False)  # noqa: S603 - our own
    if done.returncode:
        raise BenchmarkError("a client process failed")
    return _Run(**json.loads(done.stdout))


class _Checks:
    """Checks that are made, and how long each took.

    Args:
        client: makes them.
        tokens: of live sessions, gone around.
    """

    def __init__(self, client: AsyncSessionClient, tokens: list[str]) -> None:
        self.took: list[float] = []
        self._client = client
        self._tokens = tokens
        self._begun = 0

    async def check(self, due: float | None = None) -> None:
        """Make one, which is due now or was due before; one that is not answered does not count."""
        began = time.perf_counter() if due is None else due
        self._begun += 1
        try:
            await self._client.verify_token(self._tokens[self._begun % len(self._tokens)])
        except SessionClientError:
            return
        self.took.append(time.perf_counter() - began)

    async def closed(self, seconds: float) -> None:
        """Keep so many in flight, for so long."""
        until = time.perf_counter() + seconds

        async def one() -> None:
            while time.perf_counter() < until:
                await self.check()

        await asyncio.gather(*(one() for _ in range(_AT_ONCE)))

    async def open(self, seconds: float) -> None:
        """Begin so many a second, at moments by chance, for so long."""
        under_way: set[asyncio.Task[None]] = set()
        due = time.perf_counter()
        until = due + seconds
        while due < until:
            due += random.expovariate(_PER_SECOND)
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            task = asyncio.create_task(self.check(due))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        await asyncio.gather(*under_way)


async def _measured(
    address: str, pid: int, tokens: list[str], *, load: str, how: str, seconds: float
) -> _Run:
    async with AsyncSessionClient(address, timeouts=_PATIENT, share_calls=how == "shared") as client:
        checks = _Checks(client, tokens)
        loads: dict[str, Callable[[float], Coroutine[Any, Any, None]]] = {
            "closed": checks.closed,
            "open": checks.open,
        }
        await checks.closed(seconds / 10)
        checks.took.clear()
        before = time.process_time() + cpu_seconds(pid)
        await loads[load](seconds)
        used = time.process_time() + cpu_seconds(pid) - before
    took = sorted(checks.took)
    if not took:
        raise BenchmarkError("no check was answered")
    return _Run(used / len(took) * 1e6, took[int(len(took) * 0.99)] * 1000)


def main() -> None:
    """Be the client, and say what was measured."""
    _, address, pid, tokens, load, how, seconds = sys.argv
    read = Path(tokens).read_text(encoding="utf-8").split()
    found = asyncio.run(_measured(address, int(pid), read, load=load, how=how, seconds=float(seconds)))
    print(json.dumps(asdict(found)))  # noqa: T201 - what it is for


if __name__ == "__main__":
    main()
