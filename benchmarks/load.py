"""The load: a Go program that calls one method, in a closed or an open loop."""

from __future__ import annotations

import base64
import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from google.protobuf.message import Message

from benchmarks.errors import BenchmarkError
from benchmarks.go_programs import build_loadgen
from benchmarks.processes import Server, cpu_seconds

# A login may find Redis or the hashing queue overtaxed on a machine that does other work as well.
_FORGIVEN: Final = 0.01
_SERVICE: Final = "/session.v1.SessionService/"


@dataclass(frozen=True, slots=True)
class Request:
    """One call: its message or, of plain HTTP, its body; and the access token that goes with it, if any."""

    message: Message | bytes
    bearer: str = ""

    @property
    def raw(self) -> bytes:
        """What is sent."""
        return self.message if isinstance(self.message, bytes) else self.message.SerializeToString()


@dataclass(frozen=True, slots=True)
class Load:
    """Calls of one method: a number in flight at any time (a closed loop), or evenly begun (an open one).

    Args:
        server: whom to call.
        method: of ``session.v1.SessionService``; or a path, that of a method of another service or of HTTP.
        requests: a file that ``LoadGenerator.requests`` wrote; gone around again and again.
        in_flight: calls under way at any time; with ``rate``, at most.
        calls: calls to make; 0 = as many as fit into ``seconds``.
        seconds: after which no call is begun.
        connections: among which the calls are spread.
        http: the HTTP method of plain HTTP, ``GET`` say; empty = gRPC.
        http1: HTTP/1.1 instead of HTTP/2, with one call at a time on each connection, kept open.
        rate: calls to begin each second, evenly, ``in_flight`` of them under way at most; 0 = always so many.
            Latency counts from when a call was due.
        certificate: PEM file by which the server's TLS is trusted; ``None`` = plain text.
    """

    server: Server
    method: str
    requests: Path
    in_flight: int = 64
    calls: int = 0
    seconds: float = 120.0
    connections: int = 4
    http: str = ""
    http1: bool = False
    rate: float = 0.0
    certificate: Path | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What a load came to.

    Args:
        calls: how many there were.
        failed: how many of them failed.
        seconds: from the first call's start to the last one's end.
        p50_us: median latency, in microseconds.
        p99_us: the latency that 99 of 100 calls did not exceed.
        cpu_us: CPU time of the server process per call, in microseconds.
    """

    calls: int
    failed: int
    seconds: float
    p50_us: float
    p99_us: float
    cpu_us: float

    @property
    def rate(self) -> float:
        """Calls per second."""
        return self.calls / self.seconds


class LoadGenerator:
    """Puts load on servers.

    Args:
        directory: where the program is built and request files are kept.

    Raises:
        BenchmarkError: there is no Go here, or it cannot build the program.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._program = build_loadgen(directory)

    def requests(self, requests: Sequence[Request]) -> Path:
        """Write requests down for any number of loads."""
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=self._directory, prefix="requests-", delete=False
        ) as file:
            for each in requests:
                file.write(f"{each.bearer}\t{base64.b64encode(each.raw).decode()}\n")
        return Path(file.name)

    def run(self, load: Load) -> Result:
        """Put the load on and wait for its end.

        Raises:
            BenchmarkError: calls failed.
        """
        with self.beside(load) as under_way:
            return under_way.result()

    @contextmanager
    def beside(self, load: Load) -> Iterator[UnderWay]:
        """Put the load on while a block runs; it ends by itself, at the latest with the block."""
        arguments = {
            "address": load.server.address,
            "method": load.method if load.method.startswith("/") else _SERVICE + load.method,
            "http": load.http,
            "http1": str(load.http1).lower(),
            "rate": load.rate,
            "ca": load.certificate or "",
            "requests": load.requests,
            "in-flight": load.in_flight,
            "connections": load.connections,
            "calls": load.calls,
            "seconds": load.seconds,
        }
        command = [str(self._program), *(f"-{name}={value}" for name, value in arguments.items())]
        used = cpu_seconds(load.server.pid)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # noqa: S603 - as above
            try:
                yield UnderWay(load, process, used)
            finally:
                process.kill()


class UnderWay:
    """A load being put on."""

    def __init__(self, load: Load, process: subprocess.Popen[bytes], used: float) -> None:
        self._load = load
        self._process = process
        self._used = used

    def result(self) -> Result:
        """Wait for the load's end.

        Raises:
            BenchmarkError: calls failed.
        """
        out, err = self._process.communicate()
        used = cpu_seconds(self._load.server.pid) - self._used
        if self._process.returncode:
            raise BenchmarkError(f"{self._load.method}: {err.decode().strip()}")
        report = json.loads(out)
        if report["failed"] > report["calls"] * _FORGIVEN:
            failed, calls, first = report["failed"], report["calls"], report["first_failure"]
            raise BenchmarkError(
                f"{self._load.method}: {failed} of {calls} calls failed, the first by {first}"
            )
        return Result(
            calls=report["calls"],
            failed=report["failed"],
            seconds=report["seconds"],
            p50_us=report["p50_us"],
            p99_us=report["p99_us"],
            cpu_us=used / report["calls"] * 1e6,
        )
