"""`session-service sweep`, `fsck` and `stats`."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from session_service.domain.policy import new_id
from session_service.storage import keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support import RedisServer
    from tests.support.command_line import Commands

FAR = 32_503_680_000_000
"""A score of the index, in milliseconds, that no test lives to see."""


@pytest.fixture
def dead_entry(commands: Commands, redis_server: RedisServer) -> None:
    """A user with a live session and an index entry without one."""
    user_id = commands.add_user()
    commands.add_session(user_id)
    with redis_server.client() as client:
        client.zadd(keys.session_index(user_id), {new_id(): FAR})


def test_a_sweep_says_how_many_were_scanned_and_removed(commands: Commands, dead_entry: None) -> None:
    """Dead entries are removed and counted, under the names of the API."""
    assert commands("sweep").stdout == "index entries scanned: 2, removed: 1\n"
    assert commands.json("sweep") == {"scanned_entries": 1, "removed_entries": 0}


def test_a_sweep_beside_another_is_refused(commands: Commands, redis_server: RedisServer) -> None:
    """Nothing scanned is told apart from nothing done."""
    with redis_server.client() as client:
        client.set(keys.SWEEP_LOCK, "another", px=30_000)

    result = commands("sweep", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "another sweep is under way" in result.stderr


def test_fsck_finds_mends_and_exits_by_what_is_left(commands: Commands, dead_entry: None) -> None:
    """Drift is exit code 1 until it is repaired."""
    found = commands("fsck")
    assert found.exit_code == 1
    assert "entries_dead        1" in found.stdout
    assert found.stderr == "Error: wrong: 1 (entries_dead); --repair mends it\n"

    mended = commands.json("fsck", "--repair")
    assert (mended["entries_dead"], mended["repaired"], mended["left"]) == (1, True, 0)
    clean = commands.json("fsck")
    assert (clean["entries_dead"], clean["repaired"], clean["left"]) == (0, False, 0)
    assert (clean["sessions"], clean["users"]) == (1, 1)


def test_what_fsck_cannot_mend_is_left(commands: Commands, redis_server: RedisServer) -> None:
    """Two users of one name: a repair does not choose, says so, and exits with 1."""
    first = commands.add_user("ada")
    second = commands.add_user("bob")
    with redis_server.client() as client:
        client.hset(keys.user(second), "username", "ada")

    result = commands("fsck", "--repair")
    assert first != second
    assert result.exit_code == 1
    assert "users whose name another user has: 1" in result.stderr


def test_stats_tell_the_totals(commands: Commands, dead_entry: None) -> None:
    """Totals come under the names of the API, and with the instant of the last count."""
    assert commands.json("stats")["counted_time"] is None
    commands("sweep")

    stats = commands.json("stats")
    assert stats["counted_time"].endswith("Z")
    del stats["counted_time"]
    assert stats == {"active_sessions": 1, "users": 1, "created_sessions": 0, "ended_sessions": 0}
    assert "active_sessions   1\n" in commands("stats").stdout


@pytest.mark.parametrize(
    "command", [["sweep"], ["fsck"], ["stats"], ["user", "list"], ["sessions", "list", "ada"]]
)
def test_a_redis_that_is_away_is_exit_code_3(
    commands: Commands, start_redis: Callable[..., RedisServer], command: list[str]
) -> None:
    """Every command ends at once, with one line, where Redis cannot be asked."""
    server = start_redis()
    commands.environment["SESSION_REDIS__URL"] = server.url
    server.kill()

    result = commands(*command)
    assert result.exit_code == 3
    assert result.stdout == ""
    assert result.stderr == "Error: the session store is not available; nothing is known about the session\n"


def test_a_command_bears_a_slow_redis(commands: Commands, start_redis: Callable[..., RedisServer]) -> None:
    """People can wait longer than a gateway: a Redis that answers after a second and a half is no failure."""
    server = start_redis()
    commands.environment["SESSION_REDIS__URL"] = server.url
    server.pause()
    timer = threading.Timer(1.5, server.resume)
    timer.start()

    assert commands("stats").exit_code == 0
    timer.join()


def test_the_log_is_shown_if_asked_for(commands: Commands) -> None:
    """`--verbose` shows on standard error what the service would log."""
    assert commands("stats").stderr == ""
    assert "redis primary: channel open" in commands("--verbose", "stats").stderr
