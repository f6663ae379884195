"""``session-service user``: the directory of users."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import click

from session_service.app import Backend
from session_service.cli import passwords
from session_service.cli.arguments import by_id_option, first, limit_option, user_argument, user_id_of
from session_service.cli.commands import Group
from session_service.cli.output import (
    instant,
    json_option,
    print_count,
    print_facts,
    print_json,
    print_table,
    print_total,
)
from session_service.cli.settings import ACTOR, Settings, pass_settings
from session_service.domain.administration import NewUser
from session_service.domain.models import User, UserChange


@click.group(cls=Group)
def user() -> None:
    """Add, show, change and remove users.

    A user is named by name or, with --id, by user id.
    """


@user.command(examples=["user add ada --role admin", "user add ada --password-stdin < password.txt"])
@click.argument("username")
@click.option("--role", "roles", multiple=True, metavar="ROLE", help="A role of the user; may be repeated.")
@click.option("--user-id", default="", help="The id the user had elsewhere; without it, a random one.")
@passwords.password_stdin
@passwords.password_hash_stdin
@json_option
@pass_settings
def add(
    settings: Settings,
    *,
    username: str,
    roles: tuple[str, ...],
    user_id: str,
    password_stdin: bool,
    password_hash_stdin: bool,
    as_json: bool,
) -> None:
    """Add a user, asking for the password."""
    if password_stdin and password_hash_stdin:
        raise click.UsageError("--password-stdin and --password-hash-stdin exclude each other")
    password = "" if password_hash_stdin else passwords.new_password(password_stdin)
    password_hash = passwords.read_secret() if password_hash_stdin else ""
    new = NewUser(username, password, password_hash, roles, user_id)
    added = settings.run(lambda backend: backend.administration.create_user(new, ACTOR))
    _print_user(added, as_json)


@user.command("list", examples=["user list", "user list --limit 0 --json"])
@limit_option
@json_option
@pass_settings
def list_users(settings: Settings, *, limit: int, as_json: bool) -> None:
    """List users in order of name."""
    users, total = settings.run(lambda backend: first(limit, partial(_page, backend)))
    documents = [user_document(each) for each in users]
    if as_json:
        print_json({"users": documents, "total_size": total})
        return
    columns = ("username", "user_id", "roles", "disabled", "created_time")
    print_table(columns, ([each[name] for name in columns] for each in documents))
    print_total("users", len(users), total)


@user.command(examples=["user show ada", "user show --id u-17 --json"])
@user_argument
@by_id_option
@json_option
@pass_settings
def show(settings: Settings, *, user: str, by_id: bool, as_json: bool) -> None:
    """Show a user."""

    async def find(backend: Backend) -> User:
        return await backend.administration.get_user(user_id=await user_id_of(backend, user, by_id))

    _print_user(settings.run(find), as_json)


@user.command(examples=["user passwd ada", "user passwd ada --password-stdin < password.txt"])
@user_argument
@by_id_option
@click.option("--keep-sessions", is_flag=True, help="Let the user's sessions live on.")
@passwords.password_stdin
@json_option
@pass_settings
def passwd(
    settings: Settings, *, user: str, by_id: bool, keep_sessions: bool, password_stdin: bool, as_json: bool
) -> None:
    """Set a user's password, asking for it, and end the user's sessions."""
    password = passwords.new_password(password_stdin)

    async def change(backend: Backend) -> int:
        user_id = await user_id_of(backend, user, by_id)
        return await backend.administration.set_password(
            user_id, password, keep_sessions=keep_sessions, actor=ACTOR
        )

    print_count("revoked_count", "sessions ended", settings.run(change), as_json)


@user.command(examples=["user roles ada admin billing"])
@user_argument
@click.argument("roles", nargs=-1, metavar="[ROLE]...")
@by_id_option
@json_option
@pass_settings
def roles(settings: Settings, *, user: str, roles: tuple[str, ...], by_id: bool, as_json: bool) -> None:
    """Set a user's roles in place of all former ones, or take them away; live sessions follow."""

    async def change(backend: Backend) -> User:
        return await backend.administration.set_roles(await user_id_of(backend, user, by_id), roles, ACTOR)

    _print_user(settings.run(change), as_json)


@user.command(examples=["user disable ada"])
@user_argument
@by_id_option
@json_option
@pass_settings
def disable(settings: Settings, *, user: str, by_id: bool, as_json: bool) -> None:
    """Let a user log in no more, and end the user's sessions."""
    _print_change(settings.run(_set_disabled(user, by_id, disabled=True)), as_json)


@user.command(examples=["user enable ada"])
@user_argument
@by_id_option
@json_option
@pass_settings
def enable(settings: Settings, *, user: str, by_id: bool, as_json: bool) -> None:
    """Let a disabled user log in again."""
    _print_change(settings.run(_set_disabled(user, by_id, disabled=False)), as_json)


@user.command(examples=["user delete ada", "user delete --id u-17 --yes"])
@user_argument
@by_id_option
@click.option("--yes", is_flag=True, help="Do not ask first.")
@json_option
@pass_settings
def delete(settings: Settings, *, user: str, by_id: bool, yes: bool, as_json: bool) -> None:
    """Remove a user for good, and end the user's sessions; on a terminal, asks first."""
    if not yes and sys.stdin.isatty():
        click.confirm(f"Remove {user} for good?", abort=True, err=True)

    async def remove(backend: Backend) -> int:
        return await backend.administration.delete_user(await user_id_of(backend, user, by_id), ACTOR)

    print_count("revoked_count", "sessions ended", settings.run(remove), as_json)


def user_document(user: User) -> dict[str, Any]:
    """A user under the names of the API."""
    return {
        "user_id": user.user_id,
        "username": user.username,
        "roles": list(user.roles),
        "disabled": user.disabled,
        "created_time": instant(user.created_ms),
    }


def _print_user(user: User, as_json: bool) -> None:
    document = user_document(user)
    if as_json:
        print_json({"user": document})
    else:
        print_facts(document)


def _print_change(change: UserChange, as_json: bool) -> None:
    document = user_document(change.user)
    if as_json:
        print_json({"user": document, "revoked_count": change.ended_count})
    else:
        print_facts(document | {"sessions ended": change.ended_count})


def _set_disabled(user: str, by_id: bool, *, disabled: bool) -> Callable[[Backend], Awaitable[UserChange]]:
    async def change(backend: Backend) -> UserChange:
        user_id = await user_id_of(backend, user, by_id)
        return await backend.administration.set_disabled(user_id, disabled, ACTOR)

    return change


async def _page(backend: Backend, size: int, token: str) -> tuple[Sequence[User], str, int]:
    page = await backend.administration.list_users(size, token)
    return page.users, page.next_page_token, page.total_size
