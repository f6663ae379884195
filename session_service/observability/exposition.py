"""Serving metrics over HTTP, from one process or for several.

Workers cannot share a scrape port, so with several each keeps its numbers in files of one
directory, and their supervisor serves the sum. prometheus_client decides for files when it is
imported: ``share_metrics`` comes before the workers start.
"""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"


def share_metrics(directory: Path) -> None:
    """Have the processes started from now on keep their metrics in ``directory``.

    What an earlier run left there is removed: its counts are not this run's.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in directory.glob("*.db"):
        left.unlink()
    os.environ[_DIRECTORY] = str(directory)


def forget_worker(directory: Path, pid: int) -> None:
    """Drop the gauges of a worker that has ended; its counts stay in the sums."""
    mark_process_dead(pid, str(directory))  # type: ignore[no-untyped-call]


def shared_registry(directory: Path) -> CollectorRegistry:
    """The sum over all workers that keep their metrics in ``directory``."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(directory))  # type: ignore[no-untyped-call]
    return registry


class MetricsServer:
    """Serves ``/metrics`` from a thread of its own, until closed.

    Args:
        registry: what to serve.
        host: address to listen on.
        port: port to listen on; 0 = any free one.

    Raises:
        OSError: the address cannot be listened on.
    """

    def __init__(self, registry: CollectorRegistry, host: str, port: int) -> None:
        self._server, self._thread = start_http_server(port, host, registry)
        self.port = self._server.server_port

    def close(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
