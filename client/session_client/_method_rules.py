"""Which methods of a gRPC server need no token, and which need a role."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from session_client._current import check_roles
from session_client._results import Identity

_NAME: Final = re.compile(r"/[A-Za-z_][A-Za-z0-9_.]*/([A-Za-z_][A-Za-z0-9_]*|\*)")


class MethodRules:
    """Tells public methods, and lets only users of the right role pass.

    A method's own entry counts before its service's.

    Args:
        public: full names, ``/shop.v1.Orders/List``, or ``/shop.v1.Orders/*`` for a whole service.
        roles: such name → the role that is needed, or several of which one is.

    Raises:
        ValueError: a name is no such name, one would be public and need a role, or no role is named.
        TypeError: ``public`` is a single string.
    """

    def __init__(self, public: Iterable[str], roles: Mapping[str, str | Iterable[str]]) -> None:
        if isinstance(public, str):
            raise TypeError("public is a collection of names, not one string")
        self._public = frozenset(public)
        self._roles = {name: _several(any_of) for name, any_of in roles.items()}
        for name in [*self._public, *self._roles]:
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not a method /package.Service/Method or /package.Service/*")
        for name, any_of in self._roles.items():
            if not all(any_of) or not any_of:
                raise ValueError(f"{name!r} names no role")
            if name in self._public:
                raise ValueError(f"{name!r} cannot be public and need a role")

    def is_public(self, method: str) -> bool:
        """Whether a method, by its full name, needs no token."""
        return method in self._public or (_service(method) in self._public and method not in self._roles)

    def check(self, method: str, identity: Identity) -> None:
        """Let a user pass who may call a method.

        Raises:
            RoleRequired: the user has none of its roles.
        """
        any_of = self._roles.get(method) or self._roles.get(_service(method))
        if any_of:
            check_roles(identity, any_of)


def _service(method: str) -> str:
    return method.rpartition("/")[0] + "/*"


def _several(any_of: str | Iterable[str]) -> tuple[str, ...]:
    return (any_of,) if isinstance(any_of, str) else tuple(any_of)
