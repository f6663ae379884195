"""Keys that must hold together, and those without which nothing is served."""

from __future__ import annotations

from typing import Any

import pytest

from session_service.config import Config, missing_to_serve
from session_service.config.checks import conflicts

KEY = {"name": "a", "digest": "0" * 64, "roles": ["admin"]}
NODES = {"nodes": ["a:1"]}


@pytest.mark.parametrize(
    ("section", "values", "problem"),
    [
        (
            "session",
            {"token_expire": 101, "default_session_expire": 100},
            "session.token_expire: 101 must be",
        ),
        ("session", {"token_expire": 10, "refresh_grace": 10}, "session.refresh_grace: 10 must be below"),
        ("session", {"idle_timeout": 60, "touch_interval": 60}, "session.touch_interval: 60 must be below"),
        ("redis", {"host": "a", "cluster": NODES}, "redis: host, cluster exclude each other"),
        ("redis", {"url": "redis://a", "unix_socket": "/s"}, "redis: url, unix_socket exclude each other"),
        ("redis", {"embedded": True, "host": "a"}, "redis: host, embedded exclude each other"),
        ("redis", {"cluster": NODES, "db": 1}, "redis.db: 1 must be 0 in a cluster"),
        ("redis", {"tls": {"cert_file": "c"}}, "redis.tls: cert_file and key_file go together"),
        (
            "server",
            {"workers": 2, "listen": "unix:/run/s.sock"},
            "server.workers: must be 1 where server.listen is a unix socket",
        ),
        (
            "server",
            {"workers": 2, "http_listen": "unix:/run/s.sock"},
            "server.workers: must be 1 where server.http_listen is a unix socket",
        ),
        (
            "server",
            {"listen": "127.0.0.1:1", "http_listen": "127.0.0.1:1"},
            "server.http_listen: must be another address than server.listen",
        ),
        (
            "server",
            {"tls": {"cert_file": "c", "key_file": "k", "require_client_certificate": True}},
            "server.tls.require_client_certificate: needs server.tls.client_ca_file",
        ),
        (
            "admin",
            {"service_keys": [KEY, {**KEY, "digest": "1" * 64}]},
            "admin.service_keys: two keys have the same name",
        ),
        ("admin", {"service_keys": [KEY, {**KEY, "name": "b"}]}, "two keys have the same digest"),
    ],
)
def test_a_conflict_is_named(section: str, values: dict[str, Any], problem: str) -> None:
    """Each conflict is one line that names the key, and the other key with its value."""
    (found,) = conflicts(Config.model_validate({section: values}))
    assert problem in found


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("session", {"token_expire": 100, "default_session_expire": 100}),
        ("session", {"token_expire": 11, "refresh_grace": 10}),
        ("session", {"idle_timeout": 61, "touch_interval": 60}),
        ("session", {"idle_timeout": 0, "touch_interval": 600}),
        ("redis", {"host": "a", "port": 1, "db": 1, "embedded": False}),
        ("redis", {"url": "redis://a", "port": 6379}),
        ("redis", {"tls": {"cert_file": "c", "key_file": "k"}}),
        ("server", {"tls": {"cert_file": "c", "key_file": "k", "client_ca_file": "a"}}),
        ("server", {"workers": 1, "listen": "unix:/run/s.sock"}),
        ("server", {"workers": 1, "listen": "unix:/run/s.sock", "http_listen": "unix:/run/h.sock"}),
        ("admin", {"service_keys": [KEY, {"name": "b", "digest": "1" * 64, "roles": "admin"}]}),
    ],
)
def test_what_holds_together_is_let_be(section: str, values: dict[str, Any]) -> None:
    """The limit itself is allowed, and defaults conflict with nothing."""
    assert not list(conflicts(Config.model_validate({section: values})))


def test_what_is_missing_to_serve_is_named() -> None:
    """Outside development Redis and the keys must be configured, and what is missing is named."""
    redis, keys = missing_to_serve(Config())
    assert "redis is not configured" in redis
    assert "SESSION_REDIS__HOST" in redis
    assert "tokens.key_file" in keys
    assert "SESSION_TOKENS__KEY_FILE" in keys


@pytest.mark.parametrize(
    "redis",
    [
        {"host": "localhost"},
        {"url": "redis://a"},
        {"unix_socket": "/s"},
        {"sentinel": {"service": "m", "nodes": ["a:1"]}},
        {"cluster": NODES},
        {"embedded": True},
    ],
)
def test_each_way_to_redis_is_enough(redis: dict[str, Any]) -> None:
    """Any one place is a configured Redis, the default host included once it is written down."""
    config = Config.model_validate({"redis": redis, "tokens": {"key_file": "keys"}})
    assert missing_to_serve(config) == ()
