"""The address to serve on."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from session_service.listen_address import free_address, listening


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory whose path is short enough for unix sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_port_0_becomes_one_that_is_free(host: str) -> None:
    """The host stays as it was written."""
    if host == "[::1]" and not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    found, _, port = free_address(f"{host}:0").rpartition(":")
    assert found == host
    assert int(port) > 0


def test_a_taken_port_is_named(directory: Path) -> None:
    """Also one whose owner would share it."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(OSError, match=rf"cannot listen on {address}: Address already in use"):
            free_address(address)
    assert free_address(address) == address


def test_an_address_that_is_not_this_machines_is_named() -> None:
    """A host that cannot be listened on, or found, is told with the reason."""
    for host in ("203.0.113.1", "no-such-host.invalid"):
        with pytest.raises(OSError, match=rf"cannot listen on {host}:50051: \w+"):
            free_address(f"{host}:50051")


def test_a_unix_socket_is_free_unless_somebody_serves_on_it(directory: Path) -> None:
    """A left-over file is nobody; a path that is too long is told."""
    address = f"unix:{directory}/service.sock"
    assert free_address(address) == address
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(directory / "service.sock"))
        assert free_address(address) == address
        taken.listen()
        with pytest.raises(OSError, match="another process serves on it"):
            free_address(address)
    with pytest.raises(OSError, match="too long"):
        free_address(f"unix:{directory}/{'x' * 120}")


def test_a_name_may_stand_for_addresses_that_are_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """``localhost`` is also ``::1`` in many a file of hosts where IPv6 is off: what is here is served."""
    here = socket.getaddrinfo("127.0.0.1", 0, type=socket.SOCK_STREAM)
    elsewhere = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 0, 0, 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: elsewhere + here)
    host, _, port = free_address("localhost:0").rpartition(":")
    assert host == "localhost"
    assert int(port) > 0
    [made], _ = listening("localhost:0", share_port=False)
    with made:
        assert made.family is socket.AF_INET
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: elsewhere)
    with pytest.raises(OSError, match="cannot listen on localhost:1"):
        free_address("localhost:1")
