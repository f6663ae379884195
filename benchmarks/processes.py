"""The processes that are measured: Redis, the service and the empty handler, and their CPU time.

All listen on loopback or a unix socket, and are ended by their own process ids.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import redis
import yaml

from benchmarks.errors import BenchmarkError
from session_service.config import load_config
from session_service.config.sections import Engine
from session_service.storage.embedded import OPTIONS, redis_server_binary
from session_service.tokens.keys import new_document

EMBEDDED_OPTIONS: Final = {**OPTIONS, "appendonly": "no"}
"""What the service gives its own Redis, without persistence: the disk is none of what is measured."""

STOCK_OPTIONS: Final = {"port": "0", "unixsocket": "redis.sock", "save": "", "logfile": "redis.log"}
"""Redis as it comes, likewise without persistence."""

SERVICE: Final = ("-m", "session_service.cli", "serve")
CHEAP_PASSWORDS: Final = ("-m", "benchmarks.cheap_passwords", "serve")
EMPTY_HANDLER: Final = ("-m", "benchmarks.empty_handler")
EMPTY_NATIVE: Final = ("-m", "benchmarks.empty_native", "ordinary")
EMPTY_BATCHED: Final = ("-m", "benchmarks.empty_native", "batched")

_PATIENCE: Final = 30.0
_POLL: Final = 0.02
_NEVER: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: where it listens, and its process id."""

    address: str
    pid: int


@contextmanager
def redis_server(directory: Path, options: Mapping[str, str] = EMBEDDED_OPTIONS) -> Iterator[Path]:
    """Run a redis-server in a new directory of its own; gives its unix socket."""
    directory.mkdir()
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    socket = directory / "redis.sock"
    with child([str(redis_server_binary()), *arguments], cwd=directory):
        wait_for(lambda: _answers(socket), "redis-server")
        yield socket


@contextmanager
def server(
    what: Sequence[str], config: Path, workers: int = 1, engine: Engine = Engine.GRPC_AIO
) -> Iterator[Server]:
    """Run a server of this project; gives it once all its workers serve.

    Args:
        what: a command of this module, such as ``SERVICE``.
        config: the file that ``write_config`` made.
        workers: processes on the one port.
        engine: what the service runs on.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SESSION_")}
    environ = {
        **kept,
        "SESSION_CONFIG": str(config),
        "SESSION_SERVER__WORKERS": str(workers),
        "SESSION_SERVER__ENGINE": engine.value,
    }
    with _serving([sys.executable, *what], what[1], config.parent, workers, environ) as running:
        yield running


@contextmanager
def go_peer(program: Path, config: Path, *, empty: bool = False) -> Iterator[Server]:
    """Run the Go peer over the Redis, with the keys and for the issuer and audience of a configuration.

    Args:
        program: what ``go_programs.build_peer`` built.
        config: the file that ``write_config`` made.
        empty: whether it only answers, and looks at nothing.
    """
    read = load_config(config, {})
    flags = {
        "redis": read.redis.unix_socket,
        "keys": read.tokens.key_file,
        "issuer": read.tokens.issuer,
        "audience": read.tokens.audience,
        "empty": str(empty).lower(),
    }
    command = [str(program), *(f"-{name}={value}" for name, value in flags.items())]
    with _serving(command, "the Go peer", config.parent) as running:
        yield running


@contextmanager
def _serving(
    command: Sequence[str],
    name: str,
    directory: Path,
    workers: int = 1,
    environ: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Run a command that logs where it serves; gives it once all its workers do."""
    with (
        tempfile.NamedTemporaryFile(dir=directory, suffix=".log") as log,
        child(command, env=environ, stderr=log) as process,
    ):
        path = Path(log.name)
        wait_for(lambda: process.poll() is not None or len(_served(path)) >= workers, name)
        if process.poll() is not None:
            raise BenchmarkError(f"{name} ended at once:\n{path.read_text(encoding='utf-8')}")
        yield Server(_served(path)[0], process.pid)


def write_config(directory: Path, socket: Path) -> Path:
    """Write the one configuration of all servers over a Redis: the defaults, without background work."""
    keys = directory / "keys.json"
    keys.write_text(json.dumps(new_document("HS256")), encoding="utf-8")
    config = directory / "config.yaml"
    sections = {
        # Where something else has the cores for a moment, no call of a load is to fail.
        "redis": {"unix_socket": str(socket), "command_timeout": 3, "connect_timeout": 3},
        "tokens": {"key_file": str(keys)},
        "server": {"listen": "127.0.0.1:0"},
        "sweep": {"interval": _NEVER},
        "authz": {"enabled": True},
    }
    config.write_text(yaml.safe_dump(sections), encoding="utf-8")
    return config


def cpu_seconds(pid: int) -> float:
    """CPU time that a process and its children have used up to now, all threads, in user mode and the kernel.

    By the clock that the kernel keeps for each process, to the nanosecond: ``/proc/<pid>/stat`` has the same
    in hundredths of a second, too coarse for calls of ten microseconds.
    """
    try:
        # As clock_getcpuclockid(3) makes it of a process id: CPUCLOCK_SCHED of the whole process.
        return sum(time.clock_gettime((~each << 3) | 2) for each in _tree(pid))
    except OSError as error:
        raise BenchmarkError("a process that is measured has ended, or this is not Linux") from error


def resident_bytes(pid: int) -> int:
    """Memory that a process and its children have in use."""
    try:
        pages = sum(
            int(Path(f"/proc/{each}/statm").read_text(encoding="utf-8").split()[1]) for each in _tree(pid)
        )
    except OSError as error:
        raise BenchmarkError("memory is read from /proc: run the benchmarks on Linux") from error
    return pages * os.sysconf("SC_PAGE_SIZE")


def _tree(pid: int) -> Iterator[int]:
    """A process, and all that it or its children have started from whichever thread."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for started in children.read_text(encoding="utf-8").split():
            yield from _tree(int(started))


@contextmanager
def child(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stderr: IO[bytes] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command around a block, and end it; its standard output goes nowhere."""
    process = subprocess.Popen(  # noqa: S603 - commands are our own
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(condition: Callable[[], bool], name: str) -> None:
    """Return when the condition holds.

    Raises:
        BenchmarkError: it never does; the text names what was waited for.
    """
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{name} is not ready after {_PATIENCE:g} s")
        time.sleep(_POLL)


def _answers(socket: Path) -> bool:
    with suppress(redis.ConnectionError), redis.Redis(unix_socket_path=str(socket)) as client:
        return bool(client.ping())
    return False


def _served(log: Path) -> list[str]:
    """The addresses that the log says are served, one per worker."""
    lines = [
        json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("{")
    ]
    return [line["address"] for line in lines if line["event"] == "serving"]
