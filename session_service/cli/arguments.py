"""Arguments and options that several commands share, and what they stand for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import click

from session_service.app import Backend
from session_service.domain.validation import MAX_PAGE, Checker

T = TypeVar("T")

user_argument = click.argument("user")
by_id_option = click.option("--id", "by_id", is_flag=True, help="USER is a user id, not a name.")
limit_option = click.option(
    "--limit", type=click.IntRange(0), default=100, show_default=True, help="List at most so many; 0 = all."
)


async def user_id_of(backend: Backend, user: str, by_id: bool) -> str:
    """The id of a user named on the command line; an id may be of one outside the directory.

    Raises:
        InvalidArgument: the name or the id is malformed.
        UserNotFound: nobody has this name.
    """
    if not by_id:
        return (await backend.administration.get_user(username=user)).user_id
    check = Checker()
    check.user_id("user_id", user)
    check.done()
    return user


async def first(
    limit: int, page: Callable[[int, str], Awaitable[tuple[Sequence[T], str, int]]]
) -> tuple[list[T], int]:
    """The first so many of what comes in pages, and how many there are in all.

    Args:
        limit: 0 = all.
        page: from a page's size and token to its members, the next page's token and the total.
    """
    found: list[T] = []
    token = ""
    while True:
        members, token, total = await page(limit or MAX_PAGE, token)
        found += members
        if not token or 0 < limit <= len(found):
            return found[: limit or None], total
