"""HTTP as handlers see it: values in, values out, and no server.

Whatever serves HTTP beside gRPC turns a request into an ``HttpRequest`` and writes the ``HttpResponse``
that the handler answers with.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request without its body.

    Args:
        method: in capitals.
        path: as it came, percent-encoded, without the query.
        query: what follows the ``?``; may be empty.
        headers: names in lower case with their values, in the order they came, duplicates kept.
    """

    method: str
    path: str
    query: str
    headers: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer.

    Args:
        status: such as 200.
        headers: names in lower case with their values; no ``content-length``, which the server adds.
        body: its bytes; may be empty.
    """

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


HttpHandler: TypeAlias = Callable[[HttpRequest], Awaitable[HttpResponse]]
