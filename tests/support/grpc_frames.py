"""gRPC's framing of a message, for tests that send bytes by hand."""

from __future__ import annotations

import struct


def framed(message: bytes) -> bytes:
    """A message as one frame, not compressed: a flag, a length of four bytes, the message."""
    return struct.pack(">BI", 0, len(message)) + message
