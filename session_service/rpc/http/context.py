"""A call by REST as servicers see it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NoReturn

import grpc

from session_service.rpc.http.values import HttpRequest
from session_service.rpc.metadata import Pair, metadata_of


class RestContext:
    """What unary methods use of ``grpc.aio.ServicerContext``, under the same names (a test compares).

    Args:
        request: what came.
        deadline: of the loop's clock, at which the call is over.
    """

    __slots__ = ("_code", "_deadline", "_details", "_metadata", "_request", "_trailing")

    def __init__(self, request: HttpRequest, deadline: float) -> None:
        self._request = request
        self._deadline = deadline
        self._metadata: tuple[Pair, ...] | None = None
        self._code: grpc.StatusCode | None = None
        self._details = ""
        self._trailing: Sequence[Pair] = ()

    def invocation_metadata(self) -> tuple[Pair, ...]:
        """The header fields, in order, without those of HTTP itself.

        Raises:
            MalformedError: a field in ``-bin`` is no base64.
        """
        if self._metadata is None:
            fields = (
                (name.encode("latin-1"), value.encode("latin-1")) for name, value in self._request.headers
            )
            self._metadata = tuple(metadata_of(fields))
        return self._metadata

    def peer(self) -> str:
        """The other end of the connection, as gRPC spells it."""
        return self._request.peer

    def time_remaining(self) -> float:
        """Seconds until the call is over."""
        return max(0.0, self._deadline - asyncio.get_running_loop().time())

    def set_code(self, code: grpc.StatusCode) -> None:
        """Set the status to end with."""
        self._code = code

    def set_details(self, details: str) -> None:
        """Set the message of the status to end with."""
        self._details = details

    def set_trailing_metadata(self, trailing_metadata: Sequence[Pair]) -> None:
        """Set the metadata to end with."""
        self._trailing = trailing_metadata

    def code(self) -> grpc.StatusCode | None:
        """The status that was set."""
        return self._code

    def details(self) -> str:
        """The message that was set."""
        return self._details

    def trailing_metadata(self) -> Sequence[Pair]:
        """The metadata that was set."""
        return self._trailing

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Sequence[Pair] = ()
    ) -> NoReturn:
        """End the call at once.

        Raises:
            AbortError: always.
        """
        self._code, self._details = code, details
        self._trailing = trailing_metadata or self._trailing
        raise grpc.aio.AbortError
