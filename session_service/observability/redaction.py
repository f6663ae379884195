"""The second line of defence of the log: what looks like a secret is not written.

The first is that nobody logs one. Two nets: by the name of a field, and by the look of a text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

REDACTED = "[redacted]"

_SECRET_NAMES = re.compile(
    r"(^|[_-])(password|passwd|secret|token|authorization|credentials?|cookie|service[_-]?key|private[_-]?key|hash)$",
    re.IGNORECASE,
)
# Anchored and possessive (``++``), so that no text makes the search take more than linear time.
_SECRET_TEXTS = re.compile(
    r"""
      (?<![\w-])ey[\w-]{8,}+\.[\w-]++\.[\w-]*+           # a JWT
    | (?<![\w-])[\w-]{22}\.\d{1,19}\.[\w-]{1,64}\.[\w-]{43}  # a refresh token, from the session id on
    | \bssk_[\w-]{16,}+                                   # a service key
    | (?<=bearer\s)\S++
    | (?<=://)[^/\s@]++(?=@)                              # user and password of a URL
    | \$(argon2\w{1,2}|2[abxy]|scrypt|pbkdf2[\w-]*+|bcrypt[\w-]*+)\$\S++    # a password hash
    | (?<![\w$])(pbkdf2_\w{1,9}|scrypt)\$\S++            # one of Django's
    """,
    re.IGNORECASE | re.VERBOSE | re.ASCII,
)


def redact(name: str, value: object) -> object:
    """A field's value as it may be written: numbers as they are, secrets replaced, the rest as text."""
    if _is_secret(name):
        return REDACTED
    match value:
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {str(key): redact(str(key), each) for key, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [redact("", each) for each in value]
        case _:
            return redact_text(str(value))


@lru_cache(maxsize=1_024)
def _is_secret(name: str) -> bool:
    return _SECRET_NAMES.search(name) is not None


def redact_text(text: str) -> str:
    """The text without what looks like a token, a key, a password in a URL or a password hash."""
    return _SECRET_TEXTS.sub(REDACTED, text) if _may_hold_a_secret(text) else text


def _may_hold_a_secret(text: str) -> bool:
    """Whether the text has what each of ``_SECRET_TEXTS`` demands; most have not, and are not searched."""
    if "." in text or "$" in text or "://" in text:
        return True
    lowered = text.lower()
    return "ssk_" in lowered or "bearer" in lowered
