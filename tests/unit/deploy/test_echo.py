"""The sample upstream: what it got is what it answers."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.support.gateway import Upstream
from tests.support.http1 import exchange


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """One that listens."""
    with Upstream() as listening:
        yield listening


def test_it_tells_what_it_got(upstream: Upstream) -> None:
    """Method, path with its query, and headers; one that came twice is joined."""
    told = exchange(upstream.address, "/a?b", [("X-One", "1"), ("x-one", "2")], method="DELETE").json()
    assert (told["method"], told["path"], told["headers"]["x-one"]) == ("DELETE", "/a?b", "1, 2")


def test_a_connection_serves_again_after_a_body(upstream: Upstream) -> None:
    """Two requests on one connection, in pieces, the first with a body, get two answers."""
    host, _, port = upstream.address.rpartition(":")
    first = b"POST /1 HTTP/1.1\r\ncontent-length: 5\r\n\r\nab"
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(first)
        connection.sendall(b"cdeGET /2 HTTP/1.1\r\n")
        connection.sendall(b"x: y\r\n\r\n")
        got = b""
        while got.count(b"\n}\n") < 2:
            got += connection.recv(4096)
    assert b'"path": "/1"' in got
    assert b'"path": "/2"' in got
