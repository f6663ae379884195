"""The address to serve on, looked at before anything else is begun.

Workers share a port (SO_REUSEPORT), and gRPC replaces a unix socket that is there: neither would notice
that somebody else serves on it already.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Final

_UNIX: Final = "unix:"


def free_address(listen: str) -> str:
    """The address, found free; a port of 0 is replaced by one that is.

    Args:
        listen: ``host:port``, an IPv6 host in brackets, or ``unix:path``.

    Raises:
        OSError: it cannot be listened on; the text names it and says why.
    """
    try:
        if listen.startswith(_UNIX):
            _check_unused(listen.removeprefix(_UNIX))
            return listen
        host, _, port = listen.rpartition(":")
        return f"{host}:{_free_port(host.strip('[]'), int(port))}"
    except OSError as error:
        raise OSError(f"cannot listen on {listen}: {error.strerror or error}") from error


def _free_port(host: str, port: int) -> int:
    family, kind, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        found: int = probe.getsockname()[1]
    return found


def _check_unused(path: str) -> None:
    with (
        socket.socket(socket.AF_UNIX) as probe,
        contextlib.suppress(FileNotFoundError, ConnectionRefusedError),
    ):
        probe.connect(path)
        raise OSError("another process serves on it")
