"""Serving metrics over HTTP, from one process or for several.

Workers cannot share a scrape port, so with several each keeps its numbers in files of one
directory, and their supervisor serves the sum. prometheus_client decides for files when it is
imported: ``share_metrics`` comes before the workers start.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

_DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"
_CONNECTIONS: Final = 16
_CONNECTION_SECONDS: Final = 10.0


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
    """Serves ``/metrics`` from threads of its own, until closed.

    A scrape takes ten seconds at most, whatever its client does, and of more than sixteen connections the
    oldest are ended: clients that say nothing cost no more than that, and a scrape still gets through.

    Args:
        registry: what to serve.
        sockets: that listen; of one port.
    """

    def __init__(self, registry: CollectorRegistry, sockets: Sequence[socket.socket]) -> None:
        application = make_wsgi_app(registry)
        self._servers = [_Server(each, application) for each in sockets]
        self._threads = [
            threading.Thread(target=each.serve_forever, name="metrics", daemon=True) for each in self._servers
        ]
        for thread in self._threads:
            thread.start()
        self.port: int = sockets[0].getsockname()[1]

    def close(self) -> None:
        """Stop serving and free the port."""
        for server in self._servers:
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()


class _Handler(WSGIRequestHandler):
    """Serves one connection and logs nothing."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Pass over it: each scrape would be a line."""


class _Server(ThreadingMixIn, WSGIServer):
    """A thread for each connection, of which there are few and none is long."""

    daemon_threads = True
    # Ended connections leave their threads by themselves.
    block_on_close = False

    def __init__(self, listening: socket.socket, application: WSGIApplication) -> None:
        self._open: deque[socket.socket] = deque()
        super().__init__(listening.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.server_name, self.server_port = listening.getsockname()[:2]
        self.setup_environ()
        self.set_app(application)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as in socketserver
        """Serve a connection in a thread; make room for it first."""
        self._open.append(request)
        while len(self._open) > _CONNECTIONS:
            with contextlib.suppress(IndexError):
                _end(self._open.popleft())
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - likewise
        """Serve a connection, and end it when its time is up."""
        timer = threading.Timer(_CONNECTION_SECONDS, _end, [request])
        timer.daemon = True
        timer.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            timer.cancel()
            with contextlib.suppress(ValueError):
                self._open.remove(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - likewise
        """Pass over a client that left, or was ended."""


def _end(connection: socket.socket) -> None:
    """End a connection that another thread reads from or writes to."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
