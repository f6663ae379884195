"""Which engine the services of a test run on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from session_service.engines.native import availability
from tests.support.tools import missing

ENGINES: Final = ("grpc-aio", "native")

_chosen = [ENGINES[0]]


def chosen_engine() -> str:
    """The engine of services that are started now: ``server.engine`` where a test does not set it."""
    return _chosen[-1]


@contextlib.contextmanager
def services_on(engine: str) -> Iterator[str]:
    """Start services on this engine while a block runs; skips aloud where it cannot run."""
    if engine == "native" and (problem := availability.unavailable()):
        missing(f"no native engine: {problem}")
    _chosen.append(engine)
    try:
        yield engine
    finally:
        _chosen.pop()
