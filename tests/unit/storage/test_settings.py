"""RedisSettings: one way to Redis, checked early, never printed with its secrets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from session_service.storage.settings import RedisSentinel, RedisSettings, RedisTls

SENTINEL = RedisSentinel("sessions", (("sentinel-1", 26379),), password="sentinel-secret")


def test_the_defaults_are_a_local_redis() -> None:
    """Nothing given is Redis on this machine, without TLS."""
    settings = RedisSettings()
    assert (settings.host, settings.port, settings.db, settings.tls) == ("localhost", 6379, 0, None)
    assert settings.resolved() == settings


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://redis.example", RedisSettings(host="redis.example")),
        ("redis://redis.example:7000/3", RedisSettings(host="redis.example", port=7000, db=3)),
        ("redis://:p%40ss@h", RedisSettings(host="h", password="p@ss")),
        ("redis://ada:p%2Fw@h", RedisSettings(host="h", username="ada", password="p/w")),
        ("rediss://h:6380", RedisSettings(host="h", port=6380, tls=RedisTls())),
        ("unix:///run/redis.sock", RedisSettings(unix_socket_path="/run/redis.sock")),
        ("unix:///run/redis.sock?db=2", RedisSettings(unix_socket_path="/run/redis.sock", db=2)),
    ],
)
def test_a_url_is_taken_apart(url: str, expected: RedisSettings) -> None:
    """Each part of a URL takes the place of its field."""
    assert RedisSettings(url=url).resolved() == expected


def test_what_a_url_does_not_say_stays() -> None:
    """A password may be kept apart from the URL, and so may the files of TLS."""
    tls = RedisTls(ca_file="/etc/ca.pem")
    settings = RedisSettings(url="rediss://h", password="apart", tls=tls).resolved()
    assert (settings.host, settings.password, settings.tls) == ("h", "apart", tls)


@pytest.mark.parametrize(
    "url",
    [
        "http://secret@h",
        "secret",
        "redis://:secret@h?ssl_cert_reqs=none",
        "redis://:secret@h/?socket_timeout=x",
    ],
)
def test_a_wrong_url_is_refused_without_repeating_it(url: str) -> None:
    """Another scheme, and options that belong in the configuration, are refused; a secret is not printed."""
    with pytest.raises(ValueError, match="redis: url must") as refused:
        RedisSettings(url=url).resolved()
    assert "secret" not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.parametrize(
    "contradiction",
    [
        {"url": "redis://h", "unix_socket_path": "/run/redis.sock"},
        {"url": "redis://h", "cluster": (("h", 1),)},
        {"sentinel": SENTINEL, "cluster": (("h", 1),)},
        {"cluster": (("h", 1),), "db": 1},
        {"max_connections": 0},
        {"connect_timeout": 0},
        {"command_timeout": -1},
    ],
)
def test_contradictions_are_refused(contradiction: dict[str, object]) -> None:
    """Two ways at once, a numbered database in a cluster, and limits of nothing are errors at the start."""
    with pytest.raises(ValueError, match="redis: "):
        replace(RedisSettings(), **contradiction)  # type: ignore[arg-type]


def test_secrets_do_not_print() -> None:
    """Neither repr shows a password or a URL, which may hold one."""
    settings = RedisSettings(password="secret-1", sentinel=SENTINEL)
    text = repr(settings) + repr(RedisSettings(url="redis://:secret-2@h"))
    assert not [secret for secret in ("secret-1", "secret-2", "sentinel-secret") if secret in text]
