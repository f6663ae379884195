"""Metadata to and from header fields, and time-outs."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_service.rpc.metadata import fields_of, metadata_of, seconds_of
from session_service.rpc.refusals import MalformedError


@given(values=st.lists(st.binary(max_size=50), max_size=5), padded=st.booleans())
def test_binary_values_are_read_with_and_without_padding(values: list[bytes], padded: bool) -> None:
    """Base64 of either spelling gives the bytes back, in order."""
    packed = [base64.b64encode(value) for value in values]
    fields = [(b"x-bin", value if padded else value.rstrip(b"=")) for value in packed]
    assert list(metadata_of(fields)) == [("x-bin", value) for value in values]


@given(values=st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=5))
@pytest.mark.parametrize("comma", [b",", b", "])
def test_binary_values_that_were_joined_are_taken_apart(comma: bytes, values: list[bytes]) -> None:
    """HTTP may join fields of one name by commas, of which base64 has none."""
    joined = comma.join(base64.b64encode(value).rstrip(b"=") for value in values)
    assert list(metadata_of([(b"x-bin", joined)])) == [("x-bin", value) for value in values]


def test_texts_keep_their_commas() -> None:
    """A value that is no base64 stays as it came, and a repeated one is there twice."""
    fields = [(b"x", b"a, b"), (b"x", b"c")]
    assert list(metadata_of(fields)) == [("x", "a, b"), ("x", "c")]


@pytest.mark.parametrize("value", [b"A", b"AAAAA", b"a!b=", b"=", b"AA=A", b"\xff\xfe", b"QQ==QQ=="])
def test_what_is_no_base64_is_malformed(value: bytes) -> None:
    """It is the metadata that is told to be wrong."""
    with pytest.raises(MalformedError, match="must be base64") as raised:
        list(metadata_of([(b"x-bin", value)]))
    assert raised.value.field == "metadata"


def test_fields_of_the_protocol_are_no_metadata() -> None:
    """What HTTP and gRPC need for themselves does not reach the servicers; all else does."""
    protocol = ["host", "te", "content-type", "content-length", "grpc-timeout", "grpc-encoding", "grpc-x"]
    fields = [(name.encode(), b"v") for name in (*protocol, "user-agent", "authorization")]
    assert list(metadata_of(fields)) == [("user-agent", "v"), ("authorization", "v")]


@given(value=st.one_of(st.binary(), st.text(st.characters(max_codepoint=255)).map(lambda text: text.strip())))
def test_what_is_sent_is_read_again(value: bytes | str) -> None:
    """Metadata comes back from header fields as it was; bytes without padding on the way."""
    key = "x-bin" if isinstance(value, bytes) else "x"
    fields = fields_of([(key, value)])
    assert b"=" not in fields[0][1] or key == "x"
    assert list(metadata_of(fields)) == [(key, value)]


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [
        (b"1H", 3600),
        (b"2M", 120),
        (b"3S", 3),
        (b"200m", 0.2),
        (b"5u", 5e-6),
        (b"7n", 7e-9),
        (b"0S", 0),
        (b"00000001S", 1),
        (b"99999999H", 99_999_999 * 3600),
    ],
)
def test_timeouts_are_read_in_every_unit(timeout: bytes, seconds: float) -> None:
    """Hours to nanoseconds, up to eight digits."""
    assert seconds_of(timeout) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "timeout",
    [
        *(b"", b"S", b"1", b"1s", b"-1S", b"+1S", b"1.5S", b"1e3S", b" 1S", b"1 S", b"1S ", b"100000000S"),
        *("\u0661S".encode(), "\u00b2S".encode(), b"1_0S", b"0x1S", b"\xffS"),
    ],
)
def test_what_is_no_timeout_is_malformed(timeout: bytes) -> None:
    """Anything but digits and a unit is refused, digits of other scripts too."""
    with pytest.raises(MalformedError, match="grpc-timeout"):
        seconds_of(timeout)
