"""Who makes a request, as headers for the server behind a gateway.

A value is visible ASCII. What is not (a name in another script, a blank) and the sign ``%`` are
percent-encoded as UTF-8, so that ``unquote`` gives the text back; what has control characters or is
otherwise not printable is refused.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, Self
from urllib.parse import quote

from session_service.domain.models import Identity

USER_ID: Final = "x-user-id"
USERNAME: Final = "x-username"
SESSION_ID: Final = "x-session-id"
ROLES: Final = "x-user-roles"
ALL: Final = (USER_ID, USERNAME, SESSION_ID, ROLES)

_VISIBLE: Final = "".join(map(chr, range(0x21, 0x7F))).replace("%", "")
_PLAIN: Final = re.compile(r"[!-$&-~]*")


def header_value(text: str) -> str:
    """The text as a header's value.

    Raises:
        ValueError: it has characters that nobody can print: line ends, controls, half surrogates.
    """
    if _PLAIN.fullmatch(text):
        return text
    if not text.isprintable():
        raise ValueError("has characters that cannot be printed")
    return quote(text, safe=_VISIBLE)


class IdentityHeaders(NamedTuple):
    """The values, in the order of ``ALL``; without roles the last is empty, and no header is to be sent.

    A tuple, as ``Identity`` is: one is made for each request, and a tuple costs least.
    """

    user_id: str
    username: str
    session_id: str
    roles: str

    @classmethod
    def of(cls, identity: Identity) -> Self:
        """Those of an identity; the roles are joined by commas, which none of them has.

        Raises:
            ValueError: a value cannot go into a header, or a role has a comma.
        """
        if any("," in role for role in identity.roles):
            raise ValueError("a role has a comma")
        return cls(
            header_value(identity.user_id),
            header_value(identity.username),
            header_value(identity.session_id),
            header_value(",".join(identity.roles)),
        )
