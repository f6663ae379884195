"""deploy/redis.conf is taken by every redis-server, and sets what the service counts on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from session_service.storage.embedded import OPTIONS
from tests.support.house_rules import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support import RedisServer

CONF = ROOT / "deploy" / "redis.conf"
SETTINGS = dict(re.findall(r"^([a-z-]+) (.+)$", CONF.read_text(), re.MULTILINE))


def test_it_is_taken(start_redis: Callable[..., RedisServer]) -> None:
    """A redis-server that includes the file starts, and runs with each of its settings."""
    with start_redis({"include": str(CONF)}).client() as client:
        for name, value in SETTINGS.items():
            assert client.config_get(name) == {name: value.strip('"')}


def test_development_runs_with_the_same() -> None:
    """What the embedded Redis sets besides its own address and log is what is recommended."""
    own = {"port", "unixsocket", "unixsocketperm", "daemonize", "logfile"}

    assert {name: value for name, value in OPTIONS.items() if name not in own}.items() <= {
        name: value.strip('"') for name, value in SETTINGS.items()
    }.items()
