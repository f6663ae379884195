"""Which access token a request carries: in its ``authorization``, or in a cookie.

The service's own rules, so that it and a guard never differ: where a request leaves room for doubt,
two tokens say, it has none that counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from session_client._errors import TokenInvalid, TokenMissing
from session_client._requests import checked_access_token

# RFC 6265 §4.1.1: a name is a token of HTTP; a value has no blank, quote, comma, semicolon or backslash.
_COOKIE_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_COOKIE_VALUE: Final = re.compile(r"[!#-+\--:<-\[\]-~]*")


def bearer_token(values: Sequence[str]) -> str:
    """The token of ``authorization: Bearer <token>`` (RFC 6750 §2.1).

    Args:
        values: of every such header or metadata that came.

    Raises:
        TokenMissing: there is none, or nothing in it.
        TokenInvalid: there are several, the scheme is another, or no token looks like that.
    """
    if not values:
        raise _missing()
    scheme, _, token = values[0].partition(" ")
    # Some servers join several headers by commas, which no token has.
    if len(values) > 1 or scheme.lower() != "bearer" or "," in token:
        raise _invalid()
    return _present(token)


class HttpCredentials:
    """Finds the access token of a request over HTTP.

    Args:
        cookie: name of the cookie that may carry it; ``None`` = none may.

    Raises:
        ValueError: no cookie can have that name.
    """

    def __init__(self, cookie: str | None) -> None:
        if cookie is not None and not _COOKIE_NAME.fullmatch(cookie):
            raise ValueError("cookie must be the name of a cookie")
        self._cookie = cookie

    def token(self, authorization: Sequence[str], cookies: Sequence[str]) -> str:
        """The token; where a header ``Authorization`` is, no cookie is looked at.

        Args:
            authorization: the values of every header ``Authorization``.
            cookies: the values of every header ``Cookie``; HTTP/2 may bring several (RFC 9113 §8.2.3).

        Raises:
            TokenMissing: there is none.
            TokenInvalid: there is more than one, or no token looks like that.
        """
        if authorization or self._cookie is None:
            return bearer_token(authorization)
        return _present(_cookie(self._cookie, "; ".join(cookies)))


def _cookie(name: str, cookies: str) -> str:
    """The value of the cookie of this name, which may come twice only if it says the same."""
    pairs = (pair.strip(" \t").partition("=") for pair in cookies.split(";"))
    values = {value for key, _, value in pairs if key == name}
    if not values:
        # A comma does not separate cookies: what it hides might be read as ours by somebody else.
        if re.search(rf",\s*{re.escape(name)}=", cookies):
            raise _invalid()
        raise _missing()
    value = values.pop()
    if values or not _COOKIE_VALUE.fullmatch(value):
        raise _invalid()
    return value


def _present(token: str) -> str:
    if not token:
        raise _missing()
    return checked_access_token(token)


def _missing() -> TokenMissing:
    return TokenMissing("no access token", reason="TOKEN_MISSING")


def _invalid() -> TokenInvalid:
    return TokenInvalid("the access token is not valid", reason="TOKEN_INVALID")
