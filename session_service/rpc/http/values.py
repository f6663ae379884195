"""Requests and responses of HTTP as values, without a server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Headers: TypeAlias = Sequence[tuple[str, str]]
"""Names in lower case and values, in order, repeated ones included."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A whole request.

    Args:
        method: such as ``GET``.
        path: as sent, without the query: percent signs are not decoded, bytes are read as Latin-1.
        query: what follows the question mark, as sent; may be empty.
        headers: see ``Headers``; values are read as Latin-1.
        body: all of it.
        peer: the other end of the connection as gRPC spells it: ``ipv4:1.2.3.4:5``, ``ipv6:%5B::1%5D:5``,
            ``unix:``.
        secure: whether it came over TLS.
        certificate: the client's certificate in DER, verified; ``None`` without one.
    """

    method: str
    path: str
    query: str
    headers: Headers
    body: bytes = b""
    peer: str = "unix:"
    secure: bool = False
    certificate: bytes | None = None

    def values(self, name: str) -> list[str]:
        """The values of one header field, in order.

        Args:
            name: in lower case.
        """
        return [value for each, value in self.headers if each == name]


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A whole response; whoever sends it adds ``content-length`` and keeps the body back where HEAD asks."""

    status: int
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class HttpStream:
    """A response whose body comes in pieces; whoever sends it closes ``pieces`` when the client leaves."""

    status: int
    headers: Headers
    pieces: AsyncIterator[bytes]


HttpReply: TypeAlias = HttpResponse | HttpStream
HttpHandler: TypeAlias = Callable[[HttpRequest], Awaitable[HttpReply]]
