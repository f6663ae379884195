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
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

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
        address: family and address to listen on; port 0 = any free one.

    Raises:
        OSError: the address cannot be listened on.
    """

    def __init__(self, registry: CollectorRegistry, family: socket.AddressFamily, address: Any) -> None:  # noqa: ANN401 - as in socket
        self._server = _Server(family, address)
        self._server.set_app(make_wsgi_app(registry))
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()
        self.port = self._server.server_port

    def close(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(WSGIRequestHandler):
    """Serves one connection and logs nothing."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Pass over it: each scrape would be a line."""


class _Server(ThreadingMixIn, WSGIServer):
    """A thread for each connection, of which there are few and none is long."""

    daemon_threads = True
    # Ended connections leave their threads by themselves.
    block_on_close = False
    request_queue_size = 64

    def __init__(self, family: socket.AddressFamily, address: Any) -> None:  # noqa: ANN401 - as in socket
        self.address_family = family
        self._open: deque[socket.socket] = deque()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind without looking up the name of the address, which may take long."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

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
