"""Base64url has one spelling per value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_service.tokens import base64url

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@given(st.binary(max_size=64))
def test_round_trip(raw: bytes) -> None:
    """Bytes come back as they were, in an alphabet that fits URLs and headers."""
    text = base64url.encode(raw)
    assert base64url.decode(text) == raw
    assert set(text) <= set(ALPHABET)


@given(st.text(max_size=40) | st.text(alphabet=ALPHABET, max_size=8))
def test_one_spelling(text: str) -> None:
    """A text is either refused or exactly what its value is written as."""
    try:
        raw = base64url.decode(text)
    except ValueError:
        return
    assert base64url.encode(raw) == text


@pytest.mark.parametrize(
    "text",
    [
        "QQ==",
        "QR",
        "QUJ",
        "Q",
        "QUI\n",
        " QUI",
        "QU I",
        "Q+JD",
        "Q/JD",
        "QUJ\uff21",
        "QUJ\0",
        "QUI=",
        "\ud800",
    ],
)
def test_other_spellings(text: str) -> None:
    """Padding, spare bits, white space, the other alphabet and foreign characters are refused."""
    with pytest.raises(ValueError, match="base64url"):
        base64url.decode(text)
