"""What goes into a call, and what is refused before it."""

from __future__ import annotations

import math

import pytest
from session_api.v1 import session_service_pb2 as pb
from session_client import Device, InvalidArgument, RefreshTokenInvalid, TokenInvalid
from session_client._requests import (
    bearer,
    checked_refresh_token,
    device_message,
    new_request_id,
    request,
    role_names,
    service_credential,
    staleness_message,
)

NONSENSE = ["a b", "a\nb", "a\rb", "a\x00b", "a\x7fb", "é", "\ud800", " abc", "a" * 8193]


@pytest.mark.parametrize("token", NONSENSE)
def test_a_token_of_strange_characters(token: str) -> None:
    """What cannot be in metadata is no token; the exception does not repeat it."""
    with pytest.raises(TokenInvalid) as access:
        bearer(token)
    with pytest.raises(RefreshTokenInvalid) as refresh:
        checked_refresh_token(token)
    assert token not in f"{access.value!r} {refresh.value!r}"
    assert (access.value.reason, refresh.value.reason) == ("TOKEN_INVALID", "REFRESH_TOKEN_INVALID")


def test_bearer() -> None:
    """An access token goes into `authorization`; an empty one leaves it away."""
    assert bearer("a.b-c_d=~") == (("authorization", "Bearer a.b-c_d=~"),)
    assert bearer("a" * 8192)
    assert bearer("") == ()


@pytest.mark.parametrize("key", ["", "a b", "a\n", "ключ"])
def test_a_service_key_that_cannot_be_sent(key: str) -> None:
    """A key with, say, the newline of its file shows when the client is made, without the key in the text."""
    with pytest.raises(ValueError, match="visible ASCII") as caught:
        service_credential(key)
    assert not key or key not in str(caught.value)


def test_no_service_key() -> None:
    """Without a key nothing is sent for it."""
    assert service_credential(None) == ()
    assert service_credential("k") == (("x-service-key", "k"),)


def test_request_ids_differ() -> None:
    """Each is new and fits the service's limit of 64 printable characters."""
    ids = {new_request_id() for _ in range(100)}

    assert len(ids) == 100
    assert all(len(one) <= 64 and one.isalnum() for one in ids)


def test_roles() -> None:
    """Roles are any collection of names but one string."""
    assert role_names({"a"}) == role_names(("a",)) == role_names(iter(["a"])) == ["a"]
    with pytest.raises(TypeError):
        role_names("admin")


def test_half_a_surrogate_pair() -> None:
    """Text out of JSON that is not Unicode names its field, and does not show the password beside it."""
    with pytest.raises(InvalidArgument) as caught:
        request(pb.LoginRequest, username="ann", password="geheim\ud800")
    assert [one.field for one in caught.value.violations] == ["password"]
    assert "geheim" not in repr(caught.value)
    # The error of the codec has the whole text in it, which error trackers print.
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None


def test_a_device_with_half_a_surrogate_pair() -> None:
    """A field of the device is named by its path."""
    with pytest.raises(InvalidArgument) as caught:
        device_message(Device(name="\udfff"))
    assert [one.field for one in caught.value.violations] == ["device.name"]


def test_a_number_out_of_range() -> None:
    """A page size out of a query string may be any number."""
    with pytest.raises(InvalidArgument) as caught:
        request(pb.ListSessionsRequest, page_size=2**31, page_token="")
    assert [one.field for one in caught.value.violations] == ["page_size"]


def test_a_request_larger_than_the_service_takes() -> None:
    """Over 64 KiB it would come back as RESOURCE_EXHAUSTED, which says "later" where "never" is meant."""
    fits = request(pb.LoginRequest, username="ann", password="x" * 65_000)
    assert fits.ByteSize() > 65_000
    with pytest.raises(InvalidArgument, match="64 KiB"):
        request(pb.LoginRequest, username="ann", password="x" * 65_536)


@pytest.mark.parametrize(
    ("seconds", "nanoseconds"), [(1e-9, 1), (0.05, 50_000_000), (1.5, 1_500_000_000), (60, 60_000_000_000)]
)
def test_staleness(seconds: float, nanoseconds: int) -> None:
    """Seconds become a duration, never a longer one."""
    duration = staleness_message(seconds)
    assert duration is not None
    assert duration.ToNanoseconds() == nanoseconds


def test_no_staleness() -> None:
    """Zero is the strict check, which says nothing of staleness."""
    assert staleness_message(0.0) is None


@pytest.mark.parametrize("seconds", [-0.1, 60.1, math.inf, math.nan])
def test_a_staleness_that_the_service_does_not_take(seconds: float) -> None:
    """It is refused as the service refuses it, also where it could not be sent."""
    with pytest.raises(InvalidArgument, match="max_staleness: must be 0 to 60 s") as caught:
        staleness_message(seconds)
    assert [one.field for one in caught.value.violations] == ["max_staleness"]
