"""Who is calling: bearer tokens, service keys and true client addresses."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_service.domain.errors import TokenInvalid, TokenMissing
from session_service.domain.service_keys import ServiceKey, ServiceKeys, new_service_key, service_key_digest
from session_service.rpc import caller
from session_service.rpc.caller import Callers, bearer_token

KEY = new_service_key()
PROXIES = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))
CALLERS = Callers(ServiceKeys([ServiceKey("sso", service_key_digest(KEY), ("admin",))]), PROXIES)


@dataclass(frozen=True)
class Call:
    """As much of a call's context as is looked at."""

    metadata: tuple[tuple[str, str | bytes], ...] = ()
    from_peer: str = "ipv4:192.0.2.1:4711"

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """What the client sent."""
        return self.metadata

    def peer(self) -> str:
        """Where it connects from, as gRPC writes it."""
        return self.from_peer


def _call(*metadata: tuple[str, str], peer: str = "ipv4:192.0.2.1:4711") -> Any:
    return Call(metadata, peer)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_bearer_token_is_found_under_any_case_of_its_scheme(scheme: str) -> None:
    """The scheme is compared without case (RFC 9110 §11.1)."""
    assert bearer_token(_call(("authorization", f"{scheme} abc"))) == "abc"


def test_no_token_is_missing_and_an_unclear_one_invalid() -> None:
    """Two tokens, or another scheme, are not guessed at."""
    with pytest.raises(TokenMissing):
        bearer_token(_call(("other", "x")))
    for metadata in (
        (("authorization", "Bearer a"), ("authorization", "Bearer b")),
        (("authorization", "Basic a"),),
        (("authorization", ""),),
    ):
        with pytest.raises(TokenInvalid):
            bearer_token(_call(*metadata))


def test_a_service_is_known_by_its_key_alone() -> None:
    """A wrong key, and two keys at once, are nobody's, yet presented."""
    assert CALLERS.service(_call(("x-service-key", KEY))).name == "sso"  # type: ignore[union-attr]
    for metadata in ((("x-service-key", "x"),), (("x-service-key", KEY),) * 2):
        assert CALLERS.service(_call(*metadata)) is None
        assert CALLERS.presents_service_key(_call(*metadata))
    assert not CALLERS.presents_service_key(_call())


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("ipv4:192.0.2.1:4711", [], "192.0.2.1"),
        ("ipv6:%5B2001:db8::1%5D:4711", [], "2001:db8::1"),
        ("ipv6:[2001:db8::1]:4711", [], "2001:db8::1"),
        ("ipv6:%5Bfe80::1%25eth0%5D:4711", [], "fe80::1"),
        ("unix:", [], ""),
        ("unix:/run/x.sock", ["198.51.100.7"], ""),
        # Nobody but a trusted proxy is believed.
        ("ipv4:192.0.2.1:4711", ["198.51.100.7"], "192.0.2.1"),
        ("ipv4:10.1.1.1:1", ["198.51.100.7"], "198.51.100.7"),
        ("ipv4:10.1.1.1:1", [], "10.1.1.1"),
        # What stands left of the first address that is not trusted was written by its holder.
        ("ipv4:10.1.1.1:1", ["1.2.3.4, 198.51.100.7, 10.9.9.9"], "198.51.100.7"),
        ("ipv4:10.1.1.1:1", ["1.2.3.4", "198.51.100.7"], "198.51.100.7"),
        ("ipv4:10.1.1.1:1", ["198.51.100.7, nonsense"], "10.1.1.1"),
        ("ipv4:10.1.1.1:1", ["10.2.2.2, 10.3.3.3"], "10.2.2.2"),
        ("ipv6:%5Bfd00::1%5D:1", ["2001:db8::7"], "2001:db8::7"),
    ],
)
def test_the_true_client_address(peer: str, forwarded: list[str], address: str) -> None:
    """The peer's address, or what the chain of trusted proxies says it is (ASVS 15.3.4)."""
    metadata = [("x-forwarded-for", each) for each in forwarded]
    assert CALLERS.ip_address(_call(*metadata, peer=peer)) == address


def test_long_text_in_place_of_an_address_is_not_remembered() -> None:
    """Addresses are remembered by their text: what is too long for one takes no memory, and is none."""
    remembered = caller._reads_as_address.cache_info
    call = _call(("x-forwarded-for", "9" * 4_000), peer="ipv4:10.1.1.1:1")
    assert CALLERS.ip_address(call) == "10.1.1.1"
    before = remembered().currsize
    for number in range(10):
        longer = _call(("x-forwarded-for", f"{number:0>65}"), peer="ipv4:10.1.1.1:1")
        assert CALLERS.ip_address(longer) == "10.1.1.1"
    assert remembered().currsize == before


@given(st.lists(st.text(), max_size=4))
def test_no_header_makes_an_address_of_nonsense(forwarded: list[str]) -> None:
    """Whatever a client writes, the result is an address."""
    metadata = [("x-forwarded-for", each) for each in forwarded]
    ipaddress.ip_address(CALLERS.ip_address(_call(*metadata, peer="ipv4:10.1.1.1:1")))


def test_a_trusted_service_says_where_its_users_are() -> None:
    """With a good key the declared address counts, and none is none; without, the peer's does."""
    trusted = _call(("x-service-key", KEY))
    assert CALLERS.login_address(trusted, "198.51.100.7") == "198.51.100.7"
    assert CALLERS.login_address(trusted, "") == ""
    assert CALLERS.login_address(_call(), "198.51.100.7") == "192.0.2.1"
    assert CALLERS.login_address(_call(("x-service-key", "wrong")), "198.51.100.7") == "192.0.2.1"
