"""Names in certificates."""

from __future__ import annotations

import re
from typing import Final

# In RFC 2253 a backslash takes the meaning from the next character, or is followed by a byte in hexadecimal.
_ATTRIBUTES: Final = re.compile(r"([^=,+]+)=((?:\\.|[^\\,+])*)(?:[,+]|$)", re.DOTALL)
_ESCAPED: Final = re.compile(rb"\\([0-9A-Fa-f]{2}|.)", re.DOTALL)


def common_name(subject: str) -> str:
    """The common name in a certificate's subject as Envoy writes it (RFC 2253); empty if it has none.

    The first one of the certificate, as gRPC takes it: RFC 2253 begins with the last.
    """
    names = [value for key, value in _ATTRIBUTES.findall(subject) if key.strip().upper() == "CN"]
    return _ESCAPED.sub(_unescaped, names[-1].encode()).decode(errors="replace") if names else ""


def _unescaped(escaped: re.Match[bytes]) -> bytes:
    pair = escaped[1]
    return bytes.fromhex(pair.decode()) if len(pair) > 1 else pair
