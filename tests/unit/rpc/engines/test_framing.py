"""gRPC's frames: whole messages in order however they are cut, and an error for every lie."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_service.rpc.engines.framing import Frames, framed
from session_service.rpc.refusals import MalformedError, TooLargeError, UnknownEncodingError

LIMIT = 1000
COMPRESS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}

messages = st.lists(st.binary(max_size=LIMIT), max_size=6)
encodings = pytest.mark.parametrize("encoding", sorted(COMPRESS))


def compressed(packed: bytes, size: int | None = None) -> bytes:
    """A frame that is marked as compressed."""
    return struct.pack(">BI", 1, len(packed) if size is None else size) + packed


def drain(frames: Frames) -> Iterator[bytes]:
    """What is whole by now."""
    while (message := frames.next()) is not None:
        yield message


@given(sent=messages, data=st.data())
def test_messages_come_out_whole_and_in_order(sent: list[bytes], data: st.DataObject) -> None:
    """Cut at any bytes, empty pieces included, the same messages come out, and nothing is left."""
    stream = b"".join(map(framed, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    got: list[bytes] = []
    frames = Frames("", LIMIT)
    for start, end in pairwise([0, *cuts, len(stream)]):
        frames.take(stream[start:end])
        got += drain(frames)
    assert got == sent
    assert frames.empty


def test_messages_split_at_every_byte_come_out_too() -> None:
    """Byte by byte as well, compressed or not."""
    stream = framed(b"one") + compressed(gzip.compress(b"two")) + framed(b"")
    got: list[bytes] = []
    frames = Frames("gzip", LIMIT)
    for index in range(len(stream)):
        frames.take(stream[index : index + 1])
        got += drain(frames)
    assert got == [b"one", b"two", b""]


@given(sent=st.binary(max_size=LIMIT), kept=st.integers(0, LIMIT + 4))
def test_what_is_cut_off_is_no_message(sent: bytes, kept: int) -> None:
    """A message less any of its last bytes never comes out; that something is there can be seen."""
    stream = framed(sent)[: min(kept, len(sent) + 4)]
    frames = Frames("", LIMIT)
    frames.take(stream)
    assert frames.next() is None
    assert frames.empty == (not stream)


@pytest.mark.parametrize("size", [LIMIT + 1, 1 << 31, (1 << 32) - 1])
def test_a_length_over_the_limit_is_refused_at_once(size: int) -> None:
    """Five bytes are enough to know; nothing is waited or made room for."""
    frames = Frames("", LIMIT)
    frames.take(struct.pack(">BI", 0, size))
    with pytest.raises(TooLargeError, match=f"{size} bytes, {LIMIT} are allowed"):
        frames.next()


def test_a_message_of_just_the_limit_is_taken() -> None:
    """The limit itself is allowed."""
    frames = Frames("", LIMIT)
    frames.take(framed(b"x" * LIMIT))
    assert frames.next() == b"x" * LIMIT


@pytest.mark.parametrize("encoding", ["", "identity"])
def test_a_compressed_message_needs_an_encoding(encoding: str) -> None:
    """The flag without ``grpc-encoding`` is a malformed request."""
    frames = Frames(encoding, LIMIT)
    frames.take(compressed(gzip.compress(b"x")))
    with pytest.raises(MalformedError, match="without grpc-encoding") as raised:
        frames.next()
    assert raised.value.field == "request"


def test_an_encoding_that_is_not_known_is_unimplemented() -> None:
    """Its name is not repeated; those that are known are told."""
    frames = Frames("br", LIMIT)
    frames.take(compressed(b"x"))
    with pytest.raises(UnknownEncodingError, match="identity,deflate,gzip") as raised:
        frames.next()
    assert raised.value.code is grpc.StatusCode.UNIMPLEMENTED


def test_an_unknown_encoding_does_no_harm_to_plain_messages() -> None:
    """Messages that are not marked are taken, whatever the header says."""
    frames = Frames("br", LIMIT)
    frames.take(framed(b"plain"))
    assert frames.next() == b"plain"


@encodings
@given(text=st.binary(max_size=LIMIT))
def test_compressed_messages_are_read(encoding: str, text: bytes) -> None:
    """Both of gRPC's encodings, within the limit."""
    packed = compressed(COMPRESS[encoding](text))
    frames = Frames(encoding, LIMIT + 100)
    frames.take(packed)
    assert frames.next() == text
    assert frames.empty


@encodings
def test_a_bomb_is_not_inflated(encoding: str) -> None:
    """A hundred megabytes in a frame within the limit are refused, and never take up memory."""
    bomb = compressed(COMPRESS[encoding](bytes(100_000_000)))
    frames = Frames(encoding, 1 << 18)
    frames.take(bomb)
    tracemalloc.start()
    with pytest.raises(TooLargeError, match="inflates to more than"):
        frames.next()
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


@encodings
def test_a_message_that_inflates_to_just_the_limit_is_taken(encoding: str) -> None:
    """The limit is of the message, one byte more is over it."""
    for size, refused in ((LIMIT, False), (LIMIT + 1, True)):
        frames = Frames(encoding, LIMIT)
        frames.take(compressed(COMPRESS[encoding](bytes(size))))
        if refused:
            with pytest.raises(TooLargeError):
                frames.next()
        else:
            assert frames.next() == bytes(size)


@encodings
@pytest.mark.parametrize("fault", ["other bytes", "cut off", "goes on", "twice", "empty"])
def test_what_does_not_inflate_as_a_whole_is_malformed(encoding: str, fault: str) -> None:
    """Other bytes, a stream that is cut off, and bytes after its end are no message."""
    good = COMPRESS[encoding](b"hello")
    packed = {
        "other bytes": b"hello",
        "cut off": good[:-1],
        "goes on": good + b"x",
        "twice": good * 2,
        "empty": b"",
    }[fault]
    frames = Frames(encoding, LIMIT)
    frames.take(compressed(packed))
    with pytest.raises(MalformedError):
        frames.next()


@given(junk=st.binary(max_size=200), encoding=st.sampled_from(["", "gzip", "deflate", "br"]))
def test_any_bytes_are_messages_or_a_refusal(junk: bytes, encoding: str) -> None:
    """Whatever comes, the answer is messages, patience or one of the three refusals."""
    frames = Frames(encoding, LIMIT)
    frames.take(junk)
    try:
        for message in drain(frames):
            assert len(message) <= LIMIT
    except (MalformedError, TooLargeError, UnknownEncodingError):
        pass
