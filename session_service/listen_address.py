"""The address to serve on, looked at before anything else is begun, and the sockets that listen on it.

Workers share a port (SO_REUSEPORT), and a unix socket that is there is replaced: neither would notice
that somebody else serves on it already.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from pathlib import Path
from typing import Any, Final

_UNIX: Final = "unix:"
_WAITING: Final = 1_024
# What a name stands for need not be there: /etc/hosts has ::1 on machines without IPv6.
_NOT_HERE: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})

Target = tuple[socket.AddressFamily, tuple[Any, ...]]


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
        sockets = _bound(listen, share_port=False)
    except OSError as error:
        raise OSError(f"cannot listen on {listen}: {error.strerror or error}") from error
    address = _with_port(listen, sockets)
    for each in sockets:
        each.close()
    return address


def listening(listen: str, *, share_port: bool) -> tuple[list[socket.socket], str]:
    """Sockets that listen on all that an address stands for, and the address with its port.

    Args:
        listen: as ``free_address``.
        share_port: let other processes listen on the same port.

    Raises:
        OSError: it cannot be listened on; the text names it and says why.
    """
    try:
        if listen.startswith(_UNIX):
            sockets = [_unix(listen.removeprefix(_UNIX))]
        else:
            sockets = _bound(listen, share_port=share_port)
        for each in sockets:
            each.listen(_WAITING)
    except OSError as error:
        raise OSError(f"cannot listen on {listen}: {error.strerror or error}") from error
    return sockets, listen if listen.startswith(_UNIX) else _with_port(listen, sockets)


def _bound(listen: str, *, share_port: bool) -> list[socket.socket]:
    """Sockets bound to whatever can be bound of what a host stands for, all to one port."""
    host, _, port = listen.rpartition(":")
    targets = _targets(host.strip("[]"), int(port))
    sockets: list[socket.socket] = []
    absent: OSError | None = None
    try:
        for family, address in targets:
            found = sockets[0].getsockname()[1] if sockets else address[1]
            try:
                target = family, (address[0], found, *address[2:])
                sockets.append(_socket(target, share_port=share_port, alone=len(targets) == 1))
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                absent = error
    except OSError:
        for each in sockets:
            each.close()
        raise
    if not sockets and absent is not None:
        raise absent
    return sockets


def _targets(host: str, port: int) -> list[Target]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _socket(target: Target, *, share_port: bool, alone: bool) -> socket.socket:
    family, address = target
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share_port:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # [::] alone takes IPv4 too; beside an IPv4 address it must not.
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not (alone and address[0] == "::")))
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made


def _unix(path: str) -> socket.socket:
    _check_unused(path)
    Path(path).unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX)
    made.bind(path)
    return made


def _with_port(listen: str, sockets: list[socket.socket]) -> str:
    return f"{listen.rpartition(':')[0]}:{sockets[0].getsockname()[1]}"


def _check_unused(path: str) -> None:
    with (
        socket.socket(socket.AF_UNIX) as probe,
        contextlib.suppress(FileNotFoundError, ConnectionRefusedError),
    ):
        probe.connect(path)
        raise OSError("another process serves on it")
