"""Whose request is being answered: what guards found out, readable from anywhere in a handler."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import Final

from session_client._errors import RoleRequired
from session_client._results import Identity

_CURRENT: Final[ContextVar[Identity]] = ContextVar("session_client.identity")


class NoIdentity(LookupError):
    """``current_identity()`` where nobody was identified: no guard, a public path, or another thread."""


def current_identity() -> Identity:
    """Who makes the request that is being answered, as the guard in front of the handler found.

    It is there in whatever runs in the handler's own context: what it calls and awaits, tasks that it
    begins, ``asyncio.to_thread``; not in threads that it starts otherwise.

    Raises:
        NoIdentity: nobody was asked for a token: the path or method is public, or no guard is there.
    """
    try:
        return _CURRENT.get()
    except LookupError:
        raise NoIdentity(
            "nobody was identified here: is a guard in front, and the path not public?"
        ) from None


def require_role(*any_of: str) -> Identity:
    """Who makes the request, if that user has one of these roles.

    Behind ``SessionMiddleware`` and ``WsgiSessionMiddleware`` the exception may leave the handler: they
    answer 403. Methods of gRPC have their roles in the interceptor.

    Raises:
        RoleRequired: the user has none of them.
        NoIdentity: as ``current_identity``.
        ValueError: no role was named.
    """
    if not any_of:
        raise ValueError("name at least one role")
    identity = current_identity()
    check_roles(identity, any_of)
    return identity


def check_roles(identity: Identity, any_of: tuple[str, ...]) -> None:
    """Let a user with one of the roles pass.

    Raises:
        RoleRequired: the user has none of them.
    """
    if not any(role in identity.roles for role in any_of):
        raise RoleRequired(
            "the user lacks a role that this needs",
            reason="ROLE_REQUIRED",
            metadata={"role": ",".join(any_of)},
        )


def is_identified() -> bool:
    """Whether this runs behind a guard that has let somebody in."""
    return _CURRENT.get(None) is not None


def enter(identity: Identity) -> None:
    """Make somebody the current one for the rest of this context; for contexts of one call only."""
    _CURRENT.set(identity)


@contextmanager
def entered(identity: Identity) -> Iterator[None]:
    """Within it, somebody is the current one."""
    token = _CURRENT.set(identity)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def context_of(identity: Identity) -> Context:
    """A copy of this context in which somebody is the current one.

    What is run in it piece by piece, as a generator is, keeps it however many threads take turns,
    and leaves no trace in any of them.
    """
    context = copy_context()
    context.run(_CURRENT.set, identity)
    return context
