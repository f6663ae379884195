"""Which token a request carries, and that none is guessed at."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_service.domain.credentials import Credentials, bearer
from session_service.domain.errors import TokenInvalid, TokenMissing

HEADER_ONLY, EITHER = Credentials(None), Credentials("session")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_header(scheme: str) -> None:
    """The scheme is compared without case (RFC 9110 §11.1)."""
    assert bearer(f"{scheme} a.b.c") == "a.b.c"
    assert HEADER_ONLY.token(f"{scheme} a.b.c", None) == "a.b.c"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Basic YTpi",
        "Bearer,Bearer a",
        "Bearer a,Bearer b",
        "Bearer a, Basic b",
        "Basic a,Bearer b",
        "a.b.c",
    ],
)
def test_another_scheme_and_two_headers_are_invalid(value: str) -> None:
    """Two headers, as Envoy joins them, are not guessed at; nor is one that is no bearer token."""
    with pytest.raises(TokenInvalid):
        EITHER.token(value, "session=good")


@pytest.mark.parametrize(
    "cookies",
    [
        "session=a.b.c",
        "x=1; session=a.b.c",
        "session=a.b.c; y",
        "session=a.b.c ;x=",
        "session=a.b.c; session=a.b.c",
    ],
)
def test_a_cookie(cookies: str) -> None:
    """It is found among others; twice the same is the same."""
    assert EITHER.token(None, cookies) == "a.b.c"


def test_the_header_counts() -> None:
    """Where both are there the cookie is not looked at, good or bad."""
    assert EITHER.token("Bearer a", "session=b") == "a"
    assert EITHER.token("Bearer a", "session=b; session=c") == "a"


@pytest.mark.parametrize(
    "cookies",
    [
        "session=a; session=b",
        "session=a; session=",
        "session=a,session=b",
        "x=1,session=a",
        "x=1, session=a",
        'session="a"',
        "session=a b",
        "session=a\\b",
        "session=a\tb",
        "session=a\x00",
        "session=a\nb",
        "session=é",
        "session=a,b",
    ],
)
def test_an_odd_cookie_is_invalid(cookies: str) -> None:
    """What two parsers might read differently is no token."""
    with pytest.raises(TokenInvalid):
        EITHER.token(None, cookies)


@pytest.mark.parametrize("cookies", [None, "", "x=1", "Session=a", "xsession=a", "; ;", "x=session=a"])
def test_no_token_is_missing(cookies: str | None) -> None:
    """Other cookies, whatever is in them, are none of ours."""
    with pytest.raises(TokenMissing):
        EITHER.token(None, cookies)


@pytest.mark.parametrize("cookies", ["session", "session=", "session=; session="])
def test_an_empty_cookie_is_an_empty_token(cookies: str) -> None:
    """As an empty header is; the check calls it missing."""
    assert EITHER.token(None, cookies) == bearer("Bearer") == ""


def test_no_cookie_counts_unless_named() -> None:
    """Without a name in the configuration every cookie is somebody else's."""
    with pytest.raises(TokenMissing):
        HEADER_ONLY.token(None, "session=a")


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a;b", "é", "a" * 65, "a\n"])
def test_a_name_that_no_cookie_has(name: str) -> None:
    """It is refused."""
    with pytest.raises(ValueError, match="name of a cookie"):
        Credentials(name)


@given(st.text(max_size=40), st.text(alphabet='ab=;, \t"\\session.', max_size=40))
def test_whatever_comes_is_a_token_of_visible_ascii_or_refused(authorization: str, cookies: str) -> None:
    """No cookie makes parsing fail, and nothing but visible ASCII comes of one."""
    for header, cookie in ((None, cookies), (None, f"session={cookies}"), (authorization, cookies)):
        try:
            token = EITHER.token(header, cookie)
        except (TokenInvalid, TokenMissing):
            continue
        assert "," not in token
        assert header is not None or (token.isascii() and not set(token) & set(' ";\\'))
