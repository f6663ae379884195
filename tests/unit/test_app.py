"""What the wiring makes of a configuration."""

from __future__ import annotations

import pytest

from session_service.app import redis_settings
from session_service.config import ConfigError
from session_service.config.sections import Config


@pytest.mark.parametrize(
    "url",
    ["http://:hunter2@host", "hunter2", "redis://:hunter2@host:0x1/", "redis://:hunter2@host?nonsense=1"],
)
def test_a_url_that_is_none_is_named_and_not_repeated(url: str) -> None:
    """The error names the key, and nothing of what was written there."""
    section = Config.model_validate({"redis": {"url": url}}).redis
    with pytest.raises(ConfigError, match=r"^redis: url ") as raised:
        redis_settings(section)
    assert "hunter2" not in str(raised.value)


def test_a_url_is_taken_apart() -> None:
    """Host, port, database, user and password of the URL are those to connect with."""
    url = "rediss://ada:hunter2@redis.example:6380/3"
    settings = redis_settings(Config.model_validate({"redis": {"url": url}}).redis)
    assert (settings.host, settings.port, settings.db) == ("redis.example", 6380, 3)
    assert (settings.username, settings.password) == ("ada", "hunter2")
    assert settings.tls is not None
    assert "hunter2" not in repr(settings)
