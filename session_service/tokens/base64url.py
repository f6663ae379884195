"""Base64url without padding (RFC 7515 §2), read strictly: each value has exactly one spelling."""

from __future__ import annotations

import base64


def encode(raw: bytes) -> str:
    """The one spelling of these bytes."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """The bytes of a text that ``encode`` could have written.

    The library's decoder drops foreign characters, takes ``+/`` for ``-_`` and ignores the unused
    bits of the last character. Encoding the result again shows all of these.

    Raises:
        ValueError: any other text; it is not quoted in the message.
    """
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise ValueError("not base64url") from None
    if encode(raw) != text:
        raise ValueError("not canonical base64url")
    return raw
