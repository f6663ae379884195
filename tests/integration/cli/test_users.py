"""`session-service user`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from session_service.domain.models import User
from session_service.storage import keys
from session_service.users.password_hashes import PasswordHashes
from tests.support.command_line import PASSWORD

if TYPE_CHECKING:
    from tests.support import RedisServer
    from tests.support.command_line import Commands

BCRYPT = "$2b$04$EGpVz5cCr4iCLPEOjhz8ae7Bj.Kfk3yFbHzD2kVJ4mD3cF4wT6Qy6"


def stored(commands: Commands, username: str = "ada") -> User:
    """The user as the directory has him."""
    return commands.with_backend(lambda backend: backend.administration.get_user(username=username))


def test_an_added_user_is_there_with_password_and_roles(commands: Commands) -> None:
    """The password on standard input, less its newline, is the user's."""
    result = commands(
        "user", "add", "Ada", "--role", "admin", "--role", "ops", "--password-stdin", text=f"{PASSWORD}\n"
    )

    assert result.exit_code == 0
    assert "username      Ada" in result.stdout
    user = stored(commands)
    assert user.roles == ("admin", "ops")
    assert PasswordHashes().verify(PASSWORD, user.password_hash)


def test_a_user_brings_id_and_hash_along(commands: Commands) -> None:
    """A hash made elsewhere is kept as it is, under the id the user had there."""
    added = commands.json(
        "user", "add", "ada", "--user-id", "u-17", "--password-hash-stdin", text=f"{BCRYPT}\n"
    )

    assert added["user"]["user_id"] == "u-17"
    assert stored(commands).password_hash == BCRYPT


def test_the_document_of_a_user_has_the_names_of_the_api(commands: Commands) -> None:
    """`--json` prints the fields of `session.v1.User`, instants as RFC 3339 in UTC."""
    user = commands.json("user", "add", "ada", "--role", "admin", "--password-stdin", text=PASSWORD)["user"]

    assert user == {
        "user_id": stored(commands).user_id,
        "username": "ada",
        "roles": ["admin"],
        "disabled": False,
        "created_time": user["created_time"],
    }
    assert user["created_time"][10:11] + user["created_time"][-1] == "TZ"
    assert commands.json("user", "show", "ada") == {"user": user}
    assert commands.json("user", "show", "--id", user["user_id"]) == {"user": user}


def test_users_are_listed_in_order_of_name(commands: Commands) -> None:
    """The list goes over pages, stops at the limit, and says how many there are."""
    for number in range(3):
        commands.add_user(f"user-{2 - number}")

    everyone = commands.json("user", "list")
    assert [user["username"] for user in everyone["users"]] == ["user-0", "user-1", "user-2"]
    assert everyone["total_size"] == 3
    some = commands.json("user", "list", "--limit", "2")
    assert [user["username"] for user in some["users"]] == ["user-0", "user-1"]
    assert some["total_size"] == 3
    assert "users: 3, 2 listed; --limit 0 lists all" in commands("user", "list", "--limit", "2").stdout


def test_more_users_than_a_page_are_all_listed(commands: Commands) -> None:
    """`--limit 0` lists everybody, however many pages that takes."""

    async def add(backend: object) -> None:
        for number in range(105):
            user = User(
                f"u-{number}", f"user-{number:03}", (), disabled=False, created_ms=0, password_hash="x"
            )
            await backend.directory.create(user)  # type: ignore[attr-defined]

    commands.with_backend(add)
    listed = commands.json("user", "list", "--limit", "0")["users"]
    assert [user["username"] for user in listed] == [f"user-{number:03}" for number in range(105)]
    assert len(commands.json("user", "list", "--limit", "103")["users"]) == 103


def test_a_new_password_ends_the_sessions(commands: Commands) -> None:
    """Setting a password ends the sessions, or keeps them if asked."""
    user_id = commands.add_user()
    commands.add_session(user_id)

    kept = commands.json(
        "user", "passwd", "ada", "--password-stdin", "--keep-sessions", text="another password"
    )
    assert kept == {"revoked_count": 0}
    ended = commands("user", "passwd", "ada", "--password-stdin", text="yet another password\n")
    assert ended.stdout == "sessions ended: 1\n"
    assert PasswordHashes().verify("yet another password", stored(commands).password_hash)


def test_roles_are_replaced(commands: Commands) -> None:
    """The roles named are the user's, the former ones are not; none named takes all away."""
    commands.add_user("ada", "--role", "admin")

    assert commands.json("user", "roles", "ada", "billing", "ops")["user"]["roles"] == ["billing", "ops"]
    assert commands.json("user", "roles", "ada")["user"]["roles"] == []


def test_a_disabled_user_has_no_sessions_and_can_be_enabled(commands: Commands) -> None:
    """Disabling ends every session and shows; enabling undoes it."""
    user_id = commands.add_user()
    commands.add_session(user_id)
    commands.add_session(user_id)

    disabled = commands.json("user", "disable", "ada")
    assert disabled["revoked_count"] == 2
    assert disabled["user"]["disabled"] is True
    assert commands.json("user", "enable", "--id", user_id)["user"]["disabled"] is False


def test_a_deleted_user_is_gone_with_the_sessions(commands: Commands) -> None:
    """Off a terminal nobody is asked; the name is free again."""
    commands.add_session(commands.add_user())

    assert commands.json("user", "delete", "ada") == {"revoked_count": 1}
    assert commands("user", "show", "ada").exit_code == 1
    commands.add_user("ada")


@pytest.mark.parametrize(
    ("arguments", "text", "error"),
    [
        (["user", "show", "nobody"], "", "no such user"),
        (["user", "show", "--id", "nobody"], "", "no such user"),
        (["user", "add", "ADA", "--password-stdin"], PASSWORD, "the username is taken"),
        (["user", "add", "bob", "--password-stdin"], "short", "password: must have 8 to 256 characters"),
        (
            ["user", "add", "b" * 129, "--password-stdin"],
            PASSWORD,
            "username: must have at most 128 characters",
        ),
        (["user", "add", "bob", "--role", "a b", "--password-stdin"], PASSWORD, "roles[0]: must be 1 to 64"),
        (
            ["user", "add", "bob", "--password-hash-stdin"],
            "plain text",
            "password_hash: must be a supported hash",
        ),
        (
            ["user", "passwd", "--id", "a/b", "--password-stdin"],
            PASSWORD,
            "user_id: must be 1 to 128 characters",
        ),
        (["user", "disable", "nobody"], "", "no such user"),
        (["user", "delete", "nobody"], "", "no such user"),
        (["user", "roles", "ada", "a b"], "", "roles[0]: must be 1 to 64 characters"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    commands: Commands, arguments: list[str], text: str, error: str
) -> None:
    """A refusal names the field and its limit on standard error, exits with 1 and prints nothing else."""
    commands.add_user("ada")

    result = commands(*arguments, text=text)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"Error: {error}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "text", "error"),
    [
        (["user", "add", "bob"], "", "no terminal to ask for the password on; use --password-stdin"),
        (["user", "add", "bob", "--password-stdin", "--password-hash-stdin"], "", "exclude each other"),
        (["user", "add", "bob", "--password-stdin"], b"\xff\xfe not utf-8", "the password is not UTF-8"),
        (["user", "add", "bob", "--password", PASSWORD], "", "No such option '--password'"),
        (["user", "list", "--limit", "-1"], "", "'--limit': -1 is not in the range"),
    ],
)
def test_wrong_use_exits_with_2(
    commands: Commands, arguments: list[str], text: str | bytes, error: str
) -> None:
    """What is wrong with the command line is told, and Redis is not asked."""
    result = commands(*arguments, text=text)

    assert result.exit_code == 2
    assert error in result.stderr


def test_each_change_is_in_the_audit_trail_as_done_by_the_command_line(
    commands: Commands, redis_server: RedisServer
) -> None:
    """When a command ends its events are written, with `cli` as the actor."""
    user_id = commands.add_user()
    for change in (["roles", "ada", "ops"], ["disable", "ada"], ["enable", "ada"], ["delete", "ada"]):
        assert commands("user", *change).exit_code == 0

    with redis_server.client() as client:
        events = [event for _, event in client.xrange(keys.AUDIT_STREAM)]
    assert [event[b"action"].decode() for event in events] == [
        "user_created",
        "user_roles_set",
        "user_disabled",
        "user_enabled",
        "user_deleted",
    ]
    assert {(event[b"actor"], event[b"user_id"]) for event in events} == {(b"cli", user_id.encode())}
