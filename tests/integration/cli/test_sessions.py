"""`session-service sessions`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from session_service.domain.models import Device
from session_service.domain.policy import new_id
from session_service.storage import keys

if TYPE_CHECKING:
    from tests.support import RedisServer
    from tests.support.command_line import Commands


def test_a_session_is_listed_under_the_names_of_the_api(commands: Commands) -> None:
    """`--json` prints the fields of `session.v1.Session`, the device among them."""
    user_id = commands.add_user()
    session_id = commands.add_session(user_id, username="ada")

    listed = commands.json("sessions", "list", "ada")
    assert listed["total_size"] == 1
    [session] = listed["sessions"]
    assert session["session_id"] == session_id
    assert session["user_id"] == user_id
    assert session["username"] == "ada"
    assert session["ip_address"] == "203.0.113.7"
    assert session["device"]["name"] == "Ada's phone"
    assert set(session["device"]) == {
        "device_id", "name", "platform", "user_agent", "app_version", "ip_address",
    }  # fmt: skip
    assert session["created_time"] <= session["last_active_time"] < session["expire_time"]


def test_sessions_are_shown_to_people_with_their_devices(commands: Commands) -> None:
    """A table has the device in a few words; a limit is told."""
    user_id = commands.add_user()
    for _ in range(2):
        commands.add_session(user_id)

    result = commands("sessions", "list", "ada", "--limit", "1")
    assert "Ada's phone, Android, 4.2.1" in result.stdout
    assert "203.0.113.7" in result.stdout
    assert "sessions: 2, 1 listed; --limit 0 lists all" in result.stdout


def test_a_device_cannot_draw_on_the_terminal(commands: Commands) -> None:
    """Markup in a device's name is shown as it is."""
    user_id = commands.add_user()
    commands.add_session(user_id, device=Device(name="[red]phone[/red]"))

    assert "[red]phone[/red]" in commands("sessions", "list", "ada").stdout


def test_one_session_is_revoked(commands: Commands) -> None:
    """The session named ends, the others do not; a second time it is not found."""
    user_id = commands.add_user()
    kept, ended = commands.add_session(user_id), commands.add_session(user_id)

    assert commands.json("sessions", "revoke", "ada", ended) == {"revoked_count": 1}
    assert [each["session_id"] for each in commands.json("sessions", "list", "ada")["sessions"]] == [kept]
    again = commands("sessions", "revoke", "ada", ended)
    assert (again.exit_code, again.stderr) == (1, "Error: no such session\n")


def test_all_sessions_are_revoked(commands: Commands, redis_server: RedisServer) -> None:
    """Every session of the user ends and is counted, in the audit trail too."""
    user_id = commands.add_user()
    for _ in range(3):
        commands.add_session(user_id)

    assert commands("sessions", "revoke-all", "ada").stdout == "sessions ended: 3\n"
    assert commands.json("sessions", "revoke-all", "ada") == {"revoked_count": 0}
    with redis_server.client() as client:
        actions = [(event[b"action"], event[b"actor"]) for _, event in client.xrange(keys.AUDIT_STREAM)]
    assert (b"logout_all", b"cli") in actions


def test_a_user_outside_the_directory_is_named_by_id(commands: Commands) -> None:
    """Sessions opened for users whom only a trusted service knows are listed and ended by user id."""
    commands.add_session("sso|17")

    assert commands.json("sessions", "list", "--id", "sso|17")["total_size"] == 1
    assert commands("sessions", "list", "sso|17").exit_code == 1
    assert commands.json("sessions", "revoke-all", "--id", "sso|17") == {"revoked_count": 1}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["list", "nobody"], "no such user"),
        (["list", "--id", "a/b"], "user_id: must be 1 to 128 characters"),
        (["revoke", "ada", new_id()], "no such session"),
        (["revoke", "ada", "short"], "session_id: must be 22 url-safe characters"),
        (["revoke-all", "nobody"], "no such user"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    commands: Commands, arguments: list[str], error: str
) -> None:
    """A refusal is one line on standard error, with exit code 1."""
    commands.add_user()

    result = commands("sessions", *arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"Error: {error}")
    assert result.stderr.count("\n") == 1
