"""The address to serve on, looked at before anything else is begun.

Workers share a port (SO_REUSEPORT), and gRPC replaces a unix socket that is there: neither would notice
that somebody else serves on it already.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import Any, Final

_UNIX: Final = "unix:"
# A name may stand for addresses that this machine has not: ::1 in /etc/hosts where IPv6 is off.
_NOT_HERE: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})

SocketAddress = tuple[socket.AddressFamily, Any]
"""A family and what ``socket.bind`` takes."""


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


def bindable(host: str, port: int) -> list[SocketAddress]:
    """The addresses of a host that this machine has, each found free.

    Args:
        host: a name, an address, or empty for all of this machine's.
        port: 0 = any.

    Raises:
        OSError: there is none, or one is taken.
    """
    found: list[SocketAddress] = []
    missing: OSError | None = None
    for family, _, _, _, address in socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        try:
            _try_to_bind(family, address)
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
            missing = error
        else:
            found.append((family, address))
    if not found and missing:
        raise missing
    return found


def _free_port(host: str, port: int) -> int:
    family, address = bindable(host, port)[0]
    return port or _try_to_bind(family, address)


def _try_to_bind(family: socket.AddressFamily, address: Any) -> int:  # noqa: ANN401 - as in socket
    """Bind for a moment; the port."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
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
