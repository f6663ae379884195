"""Who makes a request, as headers: readable, reversible, and nothing that could inject."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_service.domain.models import Identity
from session_service.rpc.identity_headers import IdentityHeaders, header_value

ADA = Identity("u-1", "s-1", "ada", ("editor", "reader"), 1, 2, 3)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("ada", "ada"),
        ("ada.l+x@example.org|;,\"'", "ada.l+x@example.org|;,\"'"),
        ("", ""),
        ("Żaneta", "%C5%BBaneta"),
        ("李", "%E6%9D%8E"),
        ("100%", "100%25"),
        ("%41", "%2541"),
        ("a b", "a%20b"),
    ],
)
def test_a_value(text: str, value: str) -> None:
    """Visible ASCII stays; what else can be printed is percent-encoded as UTF-8, and so is the sign."""
    assert header_value(text) == value


@pytest.mark.parametrize(
    "text",
    ["a\r\nx-user-roles: admin", "a\nb", "a\rb", "a\0", "\x7f", "a\tb", "\x85", "\u2028", "\u202e", "\ud800"],
)
def test_what_could_inject_is_refused(text: str) -> None:
    """Controls, line ends, marks that turn the direction round, half surrogates."""
    with pytest.raises(ValueError, match="printed"):
        header_value(text)


@given(st.text())
def test_every_value_is_visible_ascii_and_can_be_read_back(text: str) -> None:
    """Whatever a name is, its header is harmless, and unquoting it gives the name; or it is refused."""
    try:
        value = header_value(text)
    except ValueError:
        assert not text.isprintable()
        return
    assert re.fullmatch(r"[!-~]*", value)
    assert unquote(value) == text


def test_an_identity() -> None:
    """Four values, the roles joined by commas, and none where there are none."""
    assert IdentityHeaders.of(ADA) == IdentityHeaders("u-1", "ada", "s-1", "editor,reader")
    assert IdentityHeaders.of(ADA._replace(roles=())).roles == ""


@pytest.mark.parametrize("role", ["reader,admin", "a\nb", "\x00"])
def test_a_role_that_would_read_as_another_is_refused(role: str) -> None:
    """Whoever writes into Redis cannot make two roles of one."""
    with pytest.raises(ValueError, match=r"comma|printed"):
        IdentityHeaders.of(ADA._replace(roles=("x", role)))
