"""Which paths of a gateway need no token.

The path of a request is whatever its sender writes, and the servers behind a gateway do not agree on
what ``/static/..;/admin`` or ``/static/%2e%2e/admin`` is. So a path is public only if it is spelled in
the one form about which nobody can differ; of any other spelling nothing is said but that it is not
public, and a token decides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_BELOW: Final = "/*"

# A segment is not empty and neither `.` nor `..`. Of percent-encodings only those of visible ASCII and
# the blank are taken, and not those of # % . / ; ? \ nor, beyond ASCII, of what some server folds to them.
_SEGMENT: Final = (
    r"(?!\.{1,2}(?:/|\Z))"
    r"(?:[A-Za-z0-9._~!$&'()*+,=:@-]|%(?!2[35EeFf]|3[BbFf]|5[Cc]|7[Ff])[2-7][0-9A-Fa-f])+"
)
_NORMAL: Final = re.compile(rf"(?=/)(?:/{_SEGMENT})*/?")


def is_normal(path: str) -> bool:
    """Whether a path, without its query, is spelled in the one form that every server reads alike."""
    return _NORMAL.fullmatch(path) is not None


def problem(entry: str) -> str | None:
    """What is wrong with an entry of a list of public paths; ``None`` if nothing is."""
    path = entry.removesuffix(_BELOW)
    if not entry.startswith("/"):
        return "must begin with /"
    if not path:
        return "would make every path public"
    if "*" in path:
        return "must be one path, or end in /* for everything below it"
    if not is_normal(path) or (path != entry and path.endswith("/")):
        return (
            "must be a path in its normal form: no query, no empty, . or .. segment, no ; or \\, no escapes"
        )
    return None


class PublicPaths:
    """Paths that are public.

    Args:
        entries: each one path, ``/login``, or with ``/*`` at its end everything below one:
            ``/static/*`` is ``/static/`` and what follows, and neither ``/static`` nor ``/statics``.

    Raises:
        ValueError: an entry is neither.
    """

    def __init__(self, entries: Sequence[str]) -> None:
        for entry in entries:
            if wrong := problem(entry):
                raise ValueError(f"{entry!r} {wrong}")
        self._paths = frozenset(entry for entry in entries if not entry.endswith(_BELOW))
        self._folders = tuple(entry.removesuffix("*") for entry in entries if entry.endswith(_BELOW))

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._paths or self._folders)

    def __contains__(self, target: str) -> bool:
        """Whether a request's target, its query included, has a public path."""
        path = target.partition("?")[0]
        return path in self._paths or (path.startswith(self._folders) and is_normal(path))
