"""`session-service config`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from session_service.config import Config, config_reference
from session_service.tokens.keys import new_document

if TYPE_CHECKING:
    from tests.support.command_line import Commands

SECRETS = {
    "SESSION_REDIS__SENTINEL__SERVICE": "mymaster",
    "SESSION_REDIS__SENTINEL__NODES": "127.0.0.1:26379",
    "SESSION_REDIS__SENTINEL__PASSWORD": "hush-sentinel",
    "SESSION_REDIS__PASSWORD": "hush-redis",
}


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A good key file."""
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(new_document("HS256")))
    return path


def test_a_good_configuration_is_called_good(commands: Commands, key_file: Path) -> None:
    """Nothing is wrong where a server would start."""
    commands.environment |= {"SESSION_REDIS__HOST": "localhost", "SESSION_TOKENS__KEY_FILE": str(key_file)}

    assert commands("config", "check").stdout == "the configuration is good\n"
    assert commands.json("config", "check") == {"problems": []}


def test_every_wrong_key_is_named(commands: Commands, tmp_path: Path) -> None:
    """All problems come at once, each by its key, from file and environment."""
    file = tmp_path / "session.yaml"
    file.write_text("redis: {prot: 6379}\nsession: {token_expire: 0}\n")
    commands.environment["SESSION_SERVER__WORKERS"] = "many"

    result = commands("--config", str(file), "config", "check", "--json")
    assert result.exit_code == 2
    problems = json.loads(result.stdout)["problems"]
    assert [problem.split(":")[0] for problem in problems] == [
        "redis.prot",
        "session.token_expire",
        "server.workers (SESSION_SERVER__WORKERS)",
    ]
    assert all(problem in result.stderr for problem in problems)


def test_what_a_server_still_needs_is_told(commands: Commands) -> None:
    """Outside development mode a Redis and a key file must be configured."""
    result = commands("config", "check")

    assert result.exit_code == 2
    assert "redis is not configured" in result.stderr
    assert "tokens.key_file is not set" in result.stderr


def test_development_mode_needs_nothing(commands: Commands, tmp_path: Path) -> None:
    """What development mode makes itself is not missing, and checking makes nothing."""
    data = tmp_path / "data"
    commands.environment["SESSION_REDIS__DATA_DIR"] = str(data)

    assert commands("--dev", "config", "check").exit_code == 0
    assert not data.exists()


def test_files_are_looked_into(commands: Commands, key_file: Path, tmp_path: Path) -> None:
    """Keys that cannot be used and files that cannot be read are told by the keys that name them."""
    key_file.write_text("{}", encoding="utf-8")
    commands.environment |= {
        "SESSION_REDIS__HOST": "localhost",
        "SESSION_TOKENS__KEY_FILE": str(key_file),
        "SESSION_PASSWORDS__COMMON_LIST": str(tmp_path / "common.txt"),
        "SESSION_SERVER__TLS__CERT_FILE": str(tmp_path / "server.pem"),
        "SESSION_SERVER__TLS__KEY_FILE": str(key_file),
    }

    problems = commands("config", "check").stderr
    assert "tokens.key_file: the key file" in problems
    assert "passwords.common_list: cannot read" in problems
    assert "server.tls.cert_file: cannot read" in problems
    assert "server.tls.key_file" not in problems


def test_what_is_shown_is_the_configuration_again(commands: Commands) -> None:
    """The YAML shown, read as a file, gives the same configuration; it has file, environment and defaults."""
    commands.environment |= {"SESSION_SESSION__MAX_SESSIONS": "3", "SESSION_METRICS__LISTEN": "[::1]:9090"}

    shown = yaml.safe_load(commands("config", "show").stdout)
    assert shown["session"]["max_sessions"] == 3
    assert shown["session"]["token_expire"] == 1800
    assert shown["metrics"]["listen"] == "[::1]:9090"
    assert shown == json.loads(commands("config", "show", "--json").stdout)
    assert Config.model_validate(shown).session.max_sessions == 3


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_secrets_are_shown_as_stars(commands: Commands, options: list[str]) -> None:
    """A password that is set shows as stars, one that is not as nothing."""
    commands.environment |= SECRETS

    shown = commands("config", "show", *options).stdout
    assert "hush" not in shown
    assert shown.count("**********") == 2


def test_the_reference_tells_every_key(commands: Commands) -> None:
    """Each key comes with kind, default and meaning, one a line where nobody looks."""
    lines = commands("config", "reference").stdout.splitlines()
    documents = commands.json("config", "reference")["keys"]

    keys = [each.key for each in config_reference()]
    assert [each["key"] for each in documents] == keys
    assert [line.split()[0] for line in lines[2:]] == keys
    assert {"key", "kind", "default", "description", "sensitive"} == set(documents[0])
