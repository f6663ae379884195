"""JSON that two readers could take differently is refused, without quoting it."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_service.tokens import strict_json


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text()))
def test_reads_objects(value: dict[str, object]) -> None:
    """Any object with distinct members is read as it was written."""
    assert strict_json.read_object(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'"text"',
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"\\u0062":2}}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1}x',
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":' + b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":"\xff"}',
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-32-le"),
    ],
    ids=lambda text: repr(text[:20]),
)
def test_refuses(text: bytes) -> None:
    """Repeated members, numbers that are none, other encodings, other values, and depth are refused."""
    with pytest.raises(ValueError):  # noqa: PT011  # any text will do: it is internal
        strict_json.read_object(text)


@given(st.binary(max_size=64))
def test_garbage(text: bytes) -> None:
    """Whatever the bytes, there is an object or a ValueError."""
    with contextlib.suppress(ValueError):
        assert isinstance(strict_json.read_object(text), dict)


@pytest.mark.parametrize(
    "text", [b'{"k":"SECRET', b'{"k":SECRET}', b'{"SECRET":1,"SECRET":2}', b"SECRET\xff"]
)
def test_quotes_nothing(text: bytes) -> None:
    """A message about a broken file shows a place in it and none of its content."""
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        strict_json.read_object(text)
    assert "SECRET" not in str(refused.value)
