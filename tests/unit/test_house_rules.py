"""The rules of the house hold in every file, and each rule notices what breaks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import house_rules as rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

SERVER = rules.ROOT / "session_service"
CARGO_LOCKS = {rules.ROOT / "engine" / "Cargo.lock", rules.ROOT / "engine" / "fuzz" / "Cargo.lock"}
CRATE = 'source = "registry+https://github.com/rust-lang/crates' + '.io-index"'
EXPLAINED = "-- Ends it.\n--\n-- KEYS  1 session\n-- ARGV  1 id\n-- Returns 1.\nreturn KEYS[1] .. ARGV[1]\n"


def _within(*parts: str) -> list[Path]:
    folder = rules.ROOT.joinpath(*parts)
    return [path for path in rules.project_files(".py") if path.is_relative_to(folder)]


def _breaches(rule: Callable[[str], list[int]], files: Iterable[Path]) -> list[str]:
    found = ((path, line) for path in files for line in rule(path.read_text(errors="replace")))
    return [f"{path.relative_to(rules.ROOT)}:{line}" for path, line in found]


def test_files_are_short() -> None:
    """No source file has more than 400 lines."""
    assert not _breaches(rules.too_long, rules.project_files(".py", ".rs", ".lua", ".sh"))


def test_no_registry_is_named() -> None:
    """No file, the locks included, names where packages come from, but for a line that cargo writes."""
    files = rules.project_files()
    cargo = [path for path in files if path in CARGO_LOCKS]
    assert not _breaches(rules.names_a_registry, [path for path in files if path not in cargo])
    assert not _breaches(rules.names_a_registry_in_cargo_lock, cargo)


def test_the_wall_clock_is_chosen_in_one_place() -> None:
    """Only `app.py` reaches for the wall clock; all else gets the time, so that a test can choose it."""
    files = [path for path in _within("session_service") if path != SERVER / "app.py"]
    assert not _breaches(rules.reads_the_wall_clock, files)


def test_text_is_utf8_whatever_the_locale_says() -> None:
    """No file or pipe of the service, its client and its programs is read or written as the locale says."""
    folders = ("session_service", "client", "deploy", "benchmarks", "protos", "docs", "examples")
    files = [path for folder in folders for path in _within(folder)]
    assert not _breaches(rules.depends_on_the_locale, files)


def test_redis_keys_are_spelled_in_one_place() -> None:
    """Only `storage/keys.py` builds Redis keys."""
    files = [path for path in _within("session_service") if path != SERVER / "storage" / "keys.py"]
    assert not _breaches(rules.spells_a_redis_key, files)


def test_scripts_get_their_keys() -> None:
    """No Lua script spells a key."""
    assert not _breaches(rules.spells_a_redis_key_in_lua, rules.project_files(".lua"))


def test_scripts_are_explained() -> None:
    """Every Lua script says what it does, its KEYS and ARGV if it has any, and what it returns."""
    scripts = [path for path in rules.project_files(".lua") if not path.name.startswith("_")]
    assert not _breaches(rules.leaves_a_script_unexplained, scripts)


def test_the_domain_stands_on_the_standard_library() -> None:
    """The domain imports itself and the standard library, nothing installed."""
    domain = _within("session_service", "domain")
    assert not _breaches(lambda text: rules.imports_beyond(text, "session_service.domain"), domain)


def test_the_client_stands_on_grpc_and_protobuf() -> None:
    """A consumer of the SDK needs grpcio and protobuf, and nothing of the server; FastAPI's users have it."""
    allowed = ("session_client", "session_api", "grpc", "google.protobuf")
    [apart] = _within("client", "session_client", "fastapi.py")
    files = [path for path in _within("client") if path != apart]
    assert not _breaches(lambda text: rules.imports_beyond(text, *allowed), files)
    assert not _breaches(lambda text: rules.imports_beyond(text, *allowed, "fastapi"), [apart])


def test_tests_do_not_sleep() -> None:
    """Tests wait on conditions; only the poll itself may sleep."""
    files = [path for path in _within("tests") if path.name != "waiting.py"]
    assert not _breaches(rules.sleeps, files)


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (rules.too_long, "\n" * 400, "\n" * 401),
        (rules.names_a_registry, "pypi", "https://pypi" + ".org/simple"),
        (rules.names_a_registry_in_cargo_lock, CRATE, f"# {CRATE}"),
        (rules.reads_the_wall_clock, "time.monotonic()", "x = time.time()"),
        (rules.reads_the_wall_clock, "clock()", "def f(clock=time.time): ..."),
        (rules.reads_the_wall_clock, "from time import monotonic", "from time import time"),
        (rules.reads_the_wall_clock, "datetime.fromtimestamp(now)", "datetime.datetime.now(UTC)"),
        (rules.depends_on_the_locale, 'path.read_text(encoding="utf-8")', "path.read_text()"),
        (rules.depends_on_the_locale, 'path.write_text("x", "utf-8")', 'path.write_text("x")'),
        (rules.depends_on_the_locale, 'path.open("rb")', 'path.open("a+")'),
        (rules.depends_on_the_locale, "run(command)", "run(command, text=True)"),
        (rules.spells_a_redis_key, '"""token:{user} is a key"""', 'f"token:{{{user}}}:{jti}"'),
        (rules.spells_a_redis_key, "user_session = 1", 'name = "user_sessions:" + user'),
        (rules.spells_a_redis_key_in_lua, "-- user_session:{u}", "local key = 'user_session:' .. id"),
        (rules.leaves_a_script_unexplained, EXPLAINED, EXPLAINED.replace("-- Returns", "-- Gives")),
        (rules.leaves_a_script_unexplained, EXPLAINED, EXPLAINED.replace("-- ARGV", "--")),
        (rules.imports_beyond, "import json.decoder", "from redis.asyncio import Redis"),
        (rules.sleeps, "await asyncio.sleep(0)", "await asyncio.sleep(0.1)"),
        (rules.sleeps, "eventually(done)", "time.sleep(1)"),
    ],
)
def test_each_rule_bites(rule: Callable[[str], list[int]], good: str, bad: str) -> None:
    """A rule is silent about what is right and points at what is wrong."""
    assert rule(good) == []
    assert len(rule(bad)) == 1
