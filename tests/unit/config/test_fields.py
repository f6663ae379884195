"""Addresses and lists as they may be written."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, TypeAdapter, ValidationError

from session_service.config.fields import Address, HeaderName, HostPort, Items, Network, Origin, Section

ADDRESS: TypeAdapter[HostPort] = TypeAdapter(Address)
ORIGIN: TypeAdapter[str] = TypeAdapter(Origin)
HEADER_NAME: TypeAdapter[str] = TypeAdapter(HeaderName)
NETWORK: TypeAdapter[IPv4Network | IPv6Network] = TypeAdapter(Network)
NUMBERS: TypeAdapter[tuple[int, ...]] = TypeAdapter(Items[int])


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost:6379", "localhost", 6379),
        ("10.0.0.1:1", "10.0.0.1", 1),
        ("[::1]:65535", "::1", 65535),
        ("r.example.com:0", "r.example.com", 0),
    ],
)
def test_an_address_is_read_and_written_alike(text: str, host: str, port: int) -> None:
    """Names, IPv4 and IPv6 addresses come apart and together again."""
    address = ADDRESS.validate_python(text)
    assert address == (host, port)
    assert str(address) == text
    assert ADDRESS.validate_python(address) == address


@pytest.mark.parametrize(
    "text", ["", "host", ":1", "host:", "host:x", "host:65536", "::1:80", "[]:1", "[a]:1", 5]
)
def test_what_is_no_address_is_refused(text: object) -> None:
    """Missing hosts, ports out of range and bare IPv6 addresses are errors."""
    with pytest.raises(ValidationError):
        ADDRESS.validate_python(text)


@given(st.text())
def test_no_text_breaks_the_reading_of_an_address(text: str) -> None:
    """Any text is an address that reads back, or a validation error."""
    try:
        address = ADDRESS.validate_python(text)
    except ValidationError:
        return
    assert ADDRESS.validate_python(str(address)) == address


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("https://app.example.com", "https://app.example.com"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("HTTPS://App.Example.com:443", "https://app.example.com"),
        ("http://app.example.com:80", "http://app.example.com"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("capacitor://localhost", "capacitor://localhost"),
    ],
)
def test_an_origin_is_read_as_browsers_write_it(written: str, origin: str) -> None:
    """In lower case and without a default port, since the comparison is exact."""
    assert ORIGIN.validate_python(written) == origin


@pytest.mark.parametrize(
    "written",
    [
        *("*", "null", "", "app.example.com", "https://", "https://*", "https://*.example.com", "https://a/"),
        *("https://a/path", "https://a?q", "https://a#f", "https://u@a", "https://a:", "https://a:65536"),
        *("https://a:x", "https://a b", "https://a\n", "https://::1", "://a"),
    ],
)
def test_what_is_no_origin_is_refused(written: str) -> None:
    """No wildcard, no path, no user, no bare host: nothing that would never match, or always."""
    with pytest.raises(ValidationError, match="must be an origin"):
        ORIGIN.validate_python(written)


@pytest.mark.parametrize("written", ["10.0.0.0/8", "192.0.2.1", "fd00::/8", "::1"])
def test_a_network_or_an_address_is_read(written: str) -> None:
    """An address is the network that holds it alone."""
    assert NETWORK.validate_python(written) == ip_network(written)


@pytest.mark.parametrize("written", ["", "localhost", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/8,::1", None])
def test_what_is_no_network_is_refused(written: object) -> None:
    """With one error, whose key is the item's alone: not one for each kind of network."""
    with pytest.raises(ValidationError, match="must be a network") as refused:
        NETWORK.validate_python(written)
    assert [error["loc"] for error in refused.value.errors()] == [()]


@pytest.mark.parametrize("written", [[1, 2], "1,2", " 1 , 2 ,", "[1, 2]", ' ["1", 2]'])
def test_a_list_may_be_one_text(written: object) -> None:
    """The environment can give a list as JSON, or with commas."""
    assert NUMBERS.validate_python(written) == (1, 2)


@pytest.mark.parametrize("written", ["[1", "[1] x", "one", 5])
def test_what_is_no_list_is_refused(written: object) -> None:
    """Broken JSON and wrong items are errors."""
    with pytest.raises(ValidationError):
        NUMBERS.validate_python(written)


class _Door(Section):
    """A section with a secret."""

    code: SecretStr


@pytest.mark.parametrize("values", [{"code": ["hunter2"]}, {"code": "a", "cod": "hunter2"}])
def test_a_sections_own_errors_hide_the_input(values: dict[str, object]) -> None:
    """Even pydantic's error, should it ever get out, does not show what was typed."""
    with pytest.raises(ValidationError) as error:
        _Door.model_validate(values)
    assert "hunter2" not in str(error.value)


def test_names_of_header_fields_are_read_in_lower_case() -> None:
    """As requests are compared; what cannot be a name is refused."""
    assert HEADER_NAME.validate_python("X-Tenant") == "x-tenant"
    for wrong in ("", "a b", "a:b", "é", "a\r\nb", "*" * 65):
        with pytest.raises(ValidationError, match="must be the name of a header field"):
            HEADER_NAME.validate_python(wrong)
