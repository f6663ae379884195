"""gRPC's framing of messages: a flag, a length of four bytes, the message.

The format is that of gRPC over HTTP/2 (github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md). Frames come
in pieces cut at any byte; lengths that lie and messages that inflate without end are met with an error.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

from session_service.rpc.refusals import MalformedError, TooLargeError, UnknownEncodingError

ACCEPTED_ENCODINGS: Final = "identity,deflate,gzip"

_PREFIX: Final = struct.Struct(">BI")
_PREFIX_SIZE: Final = _PREFIX.size
# zlib's window sizes: with a header of gzip (RFC 1952), with one of zlib (RFC 1950).
_WINDOWS: Final = {"gzip": 31, "deflate": 15}


def framed(message: bytes) -> bytes:
    """A message as one frame, not compressed."""
    return _PREFIX.pack(0, len(message)) + message


def only_plain_message(body: bytes, limit: int) -> bytes | None:
    """The message of bytes that are one frame, whole, within the limit and not compressed; else ``None``.

    Nearly every request is that. What is wrong with another, or how to read it, ``Frames`` knows.
    """
    size = len(body) - _PREFIX_SIZE
    if 0 <= size <= limit and _PREFIX.unpack_from(body) == (0, size):
        return body[_PREFIX_SIZE:]
    return None


class Frames:
    """Takes bytes as they come and gives the messages in them.

    Args:
        encoding: what ``grpc-encoding`` names; empty where the call has none.
        limit: bytes that a message may have, before and after it is inflated.
    """

    __slots__ = ("_bytes", "_encoding", "_limit")

    def __init__(self, encoding: str, limit: int) -> None:
        self._bytes = bytearray()
        self._encoding = encoding
        self._limit = limit

    @property
    def empty(self) -> bool:
        """Whether every byte taken was given again, as part of a message."""
        return not self._bytes

    def take(self, piece: bytes) -> None:
        """Take the next bytes."""
        self._bytes += piece

    def next(self) -> bytes | None:
        """The next message, or ``None`` while it is not whole.

        Raises:
            MalformedError: it is marked as compressed and nothing says how, or does not inflate as a whole.
            TooLargeError: the length is over the limit; known before the message is there.
            UnknownEncodingError: see the class.
        """
        if len(self._bytes) < _PREFIX_SIZE:
            return None
        flag, size = _PREFIX.unpack_from(self._bytes)
        if size > self._limit:
            raise TooLargeError(f"the message has {size} bytes, {self._limit} are allowed")
        end = _PREFIX_SIZE + size
        if len(self._bytes) < end:
            return None
        message = bytes(self._bytes[_PREFIX_SIZE:end])
        del self._bytes[:end]
        return self._inflated(message) if flag else message

    def _inflated(self, message: bytes) -> bytes:
        if not self._encoding or self._encoding == "identity":
            raise MalformedError("request", "a message is marked as compressed without grpc-encoding")
        window = _WINDOWS.get(self._encoding)
        if window is None:
            raise UnknownEncodingError(f"grpc-encoding must be one of {ACCEPTED_ENCODINGS}")
        inflater = zlib.decompressobj(window)
        try:
            inflated = inflater.decompress(message, self._limit + 1)
        except zlib.error as error:
            raise MalformedError("request", f"a compressed message is not {self._encoding}") from error
        if len(inflated) > self._limit:
            raise TooLargeError(f"the message inflates to more than {self._limit} bytes")
        if not inflater.eof or inflater.unused_data:
            raise MalformedError("request", "a compressed message is cut off, or goes on after its end")
        return inflated
