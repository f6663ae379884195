"""A configuration from file and environment, or all its faults by name."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from session_service.config import Config, ConfigError, load_config
from session_service.domain.models import OnLimit

if TYPE_CHECKING:
    from pathlib import Path

# The keys that installations have in use.
IN_USE = """\
redis:
  host: redis.internal
  port: 6380
  db: 2
  password: hunter2
  max_connections: 20
session:
  default_session_expire: 7200
  token_expire: 900
  idle_timeout: 600
  touch_interval: 30
  max_sessions: 5
  on_limit: reject
"""


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "session.yaml"
    path.write_text(text)
    return path


def test_the_keys_in_use_are_kept(tmp_path: Path) -> None:
    """A file of before means what it meant."""
    config = load_config(_file(tmp_path, IN_USE), {})
    redis, policy = config.redis, config.session.policy()
    assert (redis.host, redis.port, redis.db, redis.max_connections) == ("redis.internal", 6380, 2, 20)
    assert redis.password is not None
    assert redis.password.get_secret_value() == "hunter2"
    assert (policy.session_expire, policy.token_expire, policy.idle_timeout) == (7200, 900, 600)
    assert (policy.touch_interval, policy.max_sessions, policy.on_limit) == (30, 5, OnLimit.REJECT)


def test_nothing_said_is_the_defaults() -> None:
    """Without file and environment every key has its default, and they agree with each other."""
    assert load_config(None, {}) == Config()


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    """A variable beats the file's key and leaves its neighbours."""
    environ = {
        "SESSION_CONFIG": str(_file(tmp_path, IN_USE)),
        "SESSION_REDIS__PORT": "7000",
        "SESSION_SERVER__TRUSTED_PROXIES": "10.0.0.0/8, fd00::/8",
        "SESSION_REDIS__TLS__CA_FILE": "ca.pem",
    }
    config = load_config(None, environ)
    assert (config.redis.host, config.redis.port) == ("redis.internal", 7000)
    assert [str(each) for each in config.server.trusted_proxies] == ["10.0.0.0/8", "fd00::/8"]
    assert config.redis.tls is not None
    assert str(config.redis.tls.ca_file) == "ca.pem"


def test_the_file_given_beats_the_file_named_in_the_environment(tmp_path: Path) -> None:
    """``--config`` is the more deliberate word."""
    config = load_config(_file(tmp_path, "audit: {buffer: 7}"), {"SESSION_CONFIG": "/absent.yaml"})
    assert config.audit.buffer == 7


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        (
            {"SESSION_REDIS__HOTS": "x"},
            "redis.hots (SESSION_REDIS__HOTS): unknown key; did you mean redis.host?",
        ),
        ({"SESSION_REDS__HOST": "x"}, "reds (SESSION_REDS__HOST): unknown key; did you mean redis?"),
        ({"SESSION_REDIS__TLS__CAFILE": "x"}, "did you mean redis.tls.ca_file?"),
        ({"SESSION_QQQ__ZZZ": "x"}, "qqq (SESSION_QQQ__ZZZ): unknown key"),
        ({"SESSION_REDIS__PORT": "x"}, "redis.port (SESSION_REDIS__PORT): Input should be a valid integer"),
        ({"SESSION_REDIS__PORT": "70000"}, "less than or equal to 65535"),
        (
            {"SESSION_SERVER__CORS_ORIGINS": "https://a.example,*"},
            "server.cors_origins[1]: must be an origin, scheme://host or scheme://host:port: no path, no *",
        ),
        ({"SESSION_SESSION__ON_LIMIT": "x"}, "'evict_oldest' or 'reject'"),
        ({"SESSION_REDIS__HOST__X": "x"}, "redis.host (SESSION_REDIS__HOST__X): "),
        ({"SESSION_SESSION__TOKEN_EXPIRE": "90000"}, "session.token_expire: 90000 must be at most"),
    ],
)
def test_a_wrong_variable_is_named(environ: dict[str, str], problem: str) -> None:
    """The key, its variable, what is wrong and the nearest known key are all in one line."""
    with pytest.raises(ConfigError) as error:
        load_config(None, environ)
    assert problem in str(error.value)
    assert len(error.value.problems) == 1


def test_every_wrong_key_of_a_file_is_named(tmp_path: Path) -> None:
    """All faults come at once, with the position inside lists."""
    text = """\
redis: {hots: a, port: 0}
sesion: {}
admin: {service_keys: [{name: ops, digest: short, roles: [admin]}]}
"""
    with pytest.raises(ConfigError) as error:
        load_config(_file(tmp_path, text), {})
    named = {problem.partition(":")[0] for problem in error.value.problems}
    assert named == {"redis.hots", "redis.port", "sesion", "admin.service_keys[0].digest"}


@pytest.mark.parametrize(
    "text",
    [
        "redis: {password: [hunter2]}",
        "redis: {pasword: hunter2}",
        "redis: {password: {hunter2: hunter2}}",
        "redis: {url: {a: hunter2}}",
        "redis: {port: hunter2}",
        "redis: {sentinel: {service: a, nodes: hunter2}}",
        "redis: {cluster: hunter2}",
        "session: {on_limit: hunter2}",
        "admin: {service_keys: '[hunter2'}",
        "admin: {service_keys: [{name: 'hunter2 ', digest: hunter2, roles: [admin]}]}",
        "server: {listen: hunter2, trusted_proxies: [hunter2]}",
        "redis: hunter2",
    ],
)
def test_no_error_shows_a_value(tmp_path: Path, text: str) -> None:
    """A password typed in the wrong place does not reach a terminal or a log, traceback included."""
    with pytest.raises(ConfigError) as error:
        load_config(_file(tmp_path, text), {})
    assert error.value.__suppress_context__
    shown = "".join(traceback.format_exception(error.value))
    assert "hunter2" not in shown.replace(text, "")


def test_no_secret_is_shown(tmp_path: Path) -> None:
    """Neither repr, str, dump nor JSON of a configuration holds a password or a URL."""
    environ = {
        "SESSION_REDIS__PASSWORD": "hunter2",
        "SESSION_REDIS__SENTINEL__SERVICE": "mymaster",
        "SESSION_REDIS__SENTINEL__NODES": "a:1",
        "SESSION_REDIS__SENTINEL__PASSWORD": "hunter2",
    }
    url = {"SESSION_REDIS__URL": "redis://u:hunter2@h/0"}
    for config in (load_config(None, environ), load_config(None, url)):
        shown = f"{config!r} {config!s} {config.redis} {config.model_dump()} {config.model_dump_json()}"
        assert "hunter2" not in shown


def test_a_configuration_does_not_change() -> None:
    """What was checked is what is used: no field can be set afterwards."""
    config = load_config(None, {})
    with pytest.raises(ValidationError, match="frozen"):
        config.redis.port = 1
    with pytest.raises(ValidationError, match="frozen"):
        config.redis = config.redis
