"""Which token a request carries, for the client's guards as for the service itself."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from session_client import TokenError, TokenInvalid, TokenMissing
from session_client._credentials import HttpCredentials, bearer_token

from session_service.domain.credentials import Credentials
from session_service.domain.errors import SessionServiceError

COOKIES = ("token=abc", "a=b; token=abc", "token=abc; token=abc", "token=abc;token=def", "a=b, token=abc")


@pytest.mark.parametrize(
    "value", ["Bearer abc", "bearer abc", "BEARER abc", "Bearer ey.J-_~+/9="], ids=lambda value: value[:9]
)
def test_the_scheme_has_no_case(value: str) -> None:
    """RFC 9110 §11.1; the token is all that follows the one blank."""
    assert bearer_token([value]) == value.partition(" ")[2]


@pytest.mark.parametrize("values", [[], ["Bearer"], ["Bearer "]])
def test_no_token_is_missing(values: Sequence[str]) -> None:
    """Without a header, or with nothing in it, there is none."""
    with pytest.raises(TokenMissing):
        bearer_token(values)


@pytest.mark.parametrize(
    "values",
    [
        ["Bearer a", "Bearer a"],
        ["Bearer a,Bearer b"],
        ["Bearer a, b"],
        ["Basic YTpi"],
        ["abc"],
        [""],
        ["Bearer  abc"],
        ["Bearer\tabc"],
        ["Bearer a b"],
        ["Bearer abc\n"],
        ["Bearer a\x00b"],
        ["Bearer \xe9"],
        ["Bearer " + "a" * 8193],
    ],
    ids=lambda values: repr(values)[:20],
)
def test_what_leaves_room_for_doubt_is_invalid(values: Sequence[str]) -> None:
    """Two tokens, another scheme, characters or a length that no token has; nothing of it is told."""
    with pytest.raises(TokenInvalid) as raised:
        bearer_token(values)
    assert str(raised.value) == "the access token is not valid"


@pytest.mark.parametrize("cookies", COOKIES)
@pytest.mark.parametrize("authorization", [None, "Bearer abc", "Basic abc", "Bearer"])
def test_the_service_picks_the_same(authorization: str | None, cookies: str) -> None:
    """For one request, a guard and the service find the same token, or refuse for the same reason."""
    assert _of_the_client(authorization, cookies) == _of_the_service(authorization, cookies)


@given(st.none() | st.text(max_size=12), st.text('tokena=;, \t"\\x', max_size=24))
def test_the_service_never_picks_another(authorization: str | None, cookies: str) -> None:
    """Whatever a stranger writes, no token is found by one of the two and another by the other."""
    ours, theirs = _of_the_client(authorization, cookies), _of_the_service(authorization, cookies)

    # Characters that no token has the service finds out later, when it reads the token.
    assert ours in {theirs, "TOKEN_INVALID"}


def test_cookies_of_several_headers_are_one_list() -> None:
    """HTTP/2 may bring each cookie in a header of its own (RFC 9113 §8.2.3)."""
    credentials = HttpCredentials("token")
    assert credentials.token([], ["a=b", "token=abc"]) == "abc"
    with pytest.raises(TokenInvalid):
        credentials.token([], ["token=abc", "token=def"])


def test_no_cookie_counts_unasked() -> None:
    """Without a name of one there is no token in any."""
    with pytest.raises(TokenMissing):
        HttpCredentials(None).token([], ["token=abc"])


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a;b", "é", "a" * 65])
def test_a_cookie_has_a_name_that_cookies_can_have(name: str) -> None:
    """RFC 6265 §4.1.1; a mistake is told at the start."""
    with pytest.raises(ValueError, match="name of a cookie"):
        HttpCredentials(name)


def _of_the_client(authorization: str | None, cookies: str) -> str:
    try:
        return HttpCredentials("token").token([] if authorization is None else [authorization], [cookies])
    except TokenError as error:
        return error.reason


def _of_the_service(authorization: str | None, cookies: str) -> str:
    try:
        # What it calls missing when it reads the token is missing.
        return Credentials("token").token(authorization, cookies) or "TOKEN_MISSING"
    except SessionServiceError as error:
        return error.reason
