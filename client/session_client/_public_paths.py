"""Which paths of an HTTP application need no token.

A path is whatever its sender writes, and routers do not agree on what ``/static/..;/admin`` is. So a
path is public only if it is spelled in the one form that everybody reads alike, without any escape;
of any other spelling nothing is said but that it is not public, and a token decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_BELOW: Final = "/*"
# A segment is not empty and neither `.` nor `..`, and has no percent sign.
_SEGMENT: Final = r"(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~!$&'()+,=:@-]+"
_NORMAL: Final = re.compile(rf"(?=/)(?:/{_SEGMENT})*/?")


class PublicPaths:
    """Paths that are public.

    Args:
        entries: each one path, ``/login``, or with ``/*`` at its end everything below one:
            ``/static/*`` is ``/static/`` and what follows, and neither ``/static`` nor ``/statics``.

    Raises:
        ValueError: an entry is neither.
        TypeError: a single string, which would count as one entry per character.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        if isinstance(entries, str):
            raise TypeError("public is a collection of paths, not one string")
        listed = tuple(entries)
        for entry in listed:
            if wrong := _problem(entry):
                raise ValueError(f"{entry!r} {wrong}")
        self._paths = frozenset(entry for entry in listed if not entry.endswith(_BELOW))
        self._folders = tuple(entry.removesuffix("*") for entry in listed if entry.endswith(_BELOW))

    def __contains__(self, path: str) -> bool:
        """Whether a path, without its query, is public."""
        return path in self._paths or (path.startswith(self._folders) and _NORMAL.fullmatch(path) is not None)


def _problem(entry: str) -> str | None:
    path = entry.removesuffix(_BELOW)
    if not entry.startswith("/"):
        return "must begin with /"
    if not path:
        return "would make every path public"
    if "*" in path:
        return "must be one path, or end in /* for everything below it"
    if not _NORMAL.fullmatch(path) or (path != entry and path.endswith("/")):
        return "must be a path in its normal form: no query, no empty, . or .. segment, no escapes"
    return None
