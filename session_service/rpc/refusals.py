"""What an engine refuses before any servicer sees the call."""

from __future__ import annotations

from typing import ClassVar

import grpc


class RefusedError(Exception):
    """A call that gRPC's rules, or a limit, forbid; the text may be shown to the caller."""

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL


class MalformedError(RefusedError):
    """Bytes that are not what gRPC says they must be.

    Args:
        field: which part of the call: ``request`` or ``metadata``.
        text: what is wrong with it.
    """

    code = grpc.StatusCode.INVALID_ARGUMENT

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


class TooLargeError(RefusedError):
    """A message is over its limit."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class MetadataTooLargeError(RefusedError):
    """The metadata is over its limit."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class StoppingError(RefusedError):
    """The server has stopped, and waits for nothing more."""

    code = grpc.StatusCode.UNAVAILABLE


class UnknownMethodError(RefusedError):
    """No such method is served."""

    code = grpc.StatusCode.UNIMPLEMENTED


class UnknownEncodingError(RefusedError):
    """A message is compressed in a way that the server does not read."""

    code = grpc.StatusCode.UNIMPLEMENTED


class LateError(RefusedError):
    """The request did not arrive in time."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
