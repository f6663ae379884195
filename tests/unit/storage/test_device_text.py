"""Devices survive being stored, and a typical one is small."""

from __future__ import annotations

import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_service.domain.models import NO_DEVICE, Device
from session_service.storage import device_text
from session_service.storage.device_text import decode_device, encode_device

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
LISTPACK_VALUE = 64
"""Redis's default hash-max-listpack-value: a longer value makes a table of the whole hash."""

AGENTS = {
    "Chrome on Windows": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/143.0.0.0 Safari/537.36",
    "Chrome on Android": "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Mobile Safari/537.36",
    "Safari on iPhone": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/26.1 Mobile/15E148 Safari/604.1",
    "Firefox on Linux": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
}


@given(st.builds(Device, TEXTS | st.uuids().map(str) | st.uuids().map(lambda each: each.hex), *[TEXTS] * 5))
def test_any_device_is_read_back(device: Device) -> None:
    """No field is lost, mixed up or changed."""
    assert decode_device(encode_device(device)) == device


def test_the_largest_device_is_read_back() -> None:
    """Every field at its limit, and of what JSON has to escape."""
    device = Device("\\" * 128, '"' * 128, "\U0001f600" * 64, '"' * 1024, "x" * 64, "x" * 45)
    assert decode_device(encode_device(device)) == device


def test_nothing_known_is_nothing_stored() -> None:
    """A client that says nothing of its device costs no field."""
    assert encode_device(NO_DEVICE) == b""
    assert decode_device(None) == decode_device(b"") == NO_DEVICE


@pytest.mark.parametrize("name", sorted(AGENTS))
def test_a_typical_device_leaves_the_session_compact(name: str) -> None:
    """With a random device id and a browser's agent it stays within Redis's default limit."""
    device = Device("5f0c3a1e-8d7b-4c55-9a60-0123456789ab", name, "web", AGENTS[name], "2026.2.1")
    assert len(encode_device(device)) <= LISTPACK_VALUE


def test_a_later_versions_device_is_read() -> None:
    """While two versions run side by side, a field that only the newer one knows is passed over."""
    text = json.dumps({"name": "x", "colour": "blue"}).encode()
    deflate = zlib.compressobj(9, zlib.DEFLATED, -12, zdict=device_text._DICTIONARY)
    assert decode_device(b"\0" + deflate.compress(text) + deflate.flush()) == Device(name="x")
