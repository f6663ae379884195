"""Plain HTTP, as far as anything here speaks it: values, without a server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request without its body.

    Args:
        method: such as ``GET``.
        path: as sent, without the query.
        query: what follows the question mark, as sent; may be empty.
        headers: names in lower case and values, in order, repeated ones included.
    """

    method: str
    path: str
    query: str
    headers: Sequence[tuple[str, str]]

    def values(self, name: str) -> list[str]:
        """The values of a header, in order."""
        return [value for each, value in self.headers if each == name]


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A whole response."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


HttpHandler: TypeAlias = Callable[[HttpRequest], Awaitable[HttpResponse]]
