"""Which access token a request carries: in its header ``Authorization``, or in a cookie.

One header of each kind counts. Where a request leaves room for doubt, two tokens say, this service
and the one behind it might each pick another: that is TOKEN_INVALID and never a guess.
"""

from __future__ import annotations

import re
from typing import Final

from session_service.domain.errors import TokenInvalid, TokenMissing

# RFC 6265 §4.1.1: a name is a token of HTTP; a value has no blank, quote, comma, semicolon or backslash.
_COOKIE_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_COOKIE_VALUE: Final = re.compile(r"[!#-+\--:<-\[\]-~]*")


def bearer(authorization: str) -> str:
    """The token of a header ``Authorization: Bearer <token>`` (RFC 6750 §2.1); may be empty.

    Args:
        authorization: its value; the values of several, joined by commas.

    Raises:
        TokenInvalid: another scheme, or several headers: a token has no comma.
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or "," in token:
        raise TokenInvalid
    return token


class Credentials:
    """Finds the access token of a request.

    Args:
        cookie: name of the cookie that may carry it; ``None`` = none may.

    Raises:
        ValueError: no cookie can have that name.
    """

    def __init__(self, cookie: str | None) -> None:
        if cookie is not None and not _COOKIE_NAME.fullmatch(cookie):
            raise ValueError("must be the name of a cookie")
        self._cookie = cookie

    def token(self, authorization: str | None, cookies: str | None) -> str:
        """The token; where a header has one, no cookie is looked at.

        Args:
            authorization: value of the header ``Authorization``, several joined by commas; ``None`` = none.
            cookies: value of the header ``Cookie``, likewise.

        Raises:
            TokenMissing: there is none.
            TokenInvalid: there is more than one, or it is none of ours by its form.
        """
        if authorization is not None:
            return bearer(authorization)
        if cookies is None or self._cookie is None:
            raise TokenMissing
        return _cookie(self._cookie, cookies)


def _cookie(name: str, cookies: str) -> str:
    """The value of the cookie of this name, which may come twice only if it says the same."""
    pairs = (pair.strip(" \t").partition("=") for pair in cookies.split(";"))
    values = {value for key, _, value in pairs if key == name}
    if not values:
        # A comma does not separate cookies: what it hides might be read as ours by somebody else.
        if re.search(rf",\s*{re.escape(name)}=", cookies):
            raise TokenInvalid
        raise TokenMissing
    value = values.pop()
    if values or not _COOKIE_VALUE.fullmatch(value):
        raise TokenInvalid
    return value
