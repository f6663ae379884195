"""A device as it is stored: its id if that is a UUID, and the rest as deflated JSON.

The user agent is by far the largest thing about a session, and nearly all of it is the same text
in every browser. With that text as a preset dictionary (RFC 1950 §2.3), and a UUID as the 16
bytes that it is, a typical device shrinks from 250 bytes to 55: below the 64 up to which Redis by
its own defaults keeps a whole session in one compact listpack, so that a session costs half.
``session-service sessions list`` shows devices in clear.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import fields
from typing import Final
from uuid import UUID

from session_service.domain.models import Device
from session_service.domain.validation import MAX_DEVICE_BYTES

_AS_JSON: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_FIELDS: Final = tuple(each.name for each in fields(Device))
_WINDOW: Final = -12
"""Raw deflate, no header or checksum, over 4 KiB."""
_MOST: Final = 3 * MAX_DEVICE_BYTES
"""Names and escapes take room; nothing that was stored is longer."""

_WITHOUT_UUID: Final = b"\x00"
_WITH_UUID: Final = b"\x01"
_UUID_BYTES: Final = 16

# What is stored depends on it: a change needs a way to tell old from new. The likeliest comes last.
_DICTIONARY: Final = (
    b"(iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    b"Version/18.7 Mobile/15E148 Safari/604.1 Macintosh; Intel Mac OS X 10_15_7) Gecko/20100101 "
    b"Firefox/14 Linux; Android 10; K) Mobile X11; Linux x86_64; rv:14 okhttp/ Dart/ Dalvik/ "
    b"grpc-python/ grpc-go/ iPad iPhone Pixel Galaxy Firefox Edge Safari Chrome on Android Linux iOS "
    b'macOS Windows","platform":"ios","platform":"android","app_version":"1.0.0","ip_address":"'
    b'","platform":"web","user_agent":"Mozilla/5.0 (Windows NT 10.0; Win64; x64) '
    b'AppleWebKit/537.36 (KHTML, like Gecko) Chrome/14.0.0.0 Safari/537.36 Edg/{"device_id":"","name":"'
)


def encode_device(device: Device) -> bytes:
    """What is stored of a device: its non-empty fields; nothing if none is known."""
    known = {name: value for name in _FIELDS if (value := getattr(device, name))}
    if not known:
        return b""
    head = _WITHOUT_UUID
    if uuid := _as_uuid(device.device_id):
        head = _WITH_UUID + uuid.bytes
        del known["device_id"]
    text = _AS_JSON(known).encode()
    deflate = zlib.compressobj(9, zlib.DEFLATED, _WINDOW, zdict=_DICTIONARY)
    return head + deflate.compress(text) + deflate.flush()


def decode_device(stored: bytes | None) -> Device:
    """The device again; fields that this version does not know are passed over."""
    if not stored:
        return Device()
    head = 1 + _UUID_BYTES if stored.startswith(_WITH_UUID) else 1
    text = zlib.decompressobj(_WINDOW, zdict=_DICTIONARY).decompress(stored[head:], _MOST)
    known: dict[str, str] = json.loads(text)
    if head > 1:
        known["device_id"] = str(UUID(bytes=stored[1:head]))
    return Device(**{name: known[name] for name in _FIELDS if name in known})


def _as_uuid(device_id: str) -> UUID | None:
    """The UUID that a device id spells in its canonical form, if it does."""
    try:
        uuid = UUID(device_id)
    except ValueError:
        return None
    return uuid if str(uuid) == device_id else None
