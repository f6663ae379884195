"""Tether: what the tests started ends with them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support import RedisBinary, RedisServer

ROOT = Path(__file__).parents[2]

# A stand-in for a test run: it starts a server, says where it is, and waits.
RUN = """
import sys
from pathlib import Path
from tests.support import RedisBinary, RedisServer
server = RedisServer(RedisBinary("system", Path(sys.argv[1])))
server.start()
print(server.socket_url, flush=True)
sys.stdin.read()
"""


def _refuses(url: str) -> bool:
    with redis.Redis.from_url(url) as client:
        try:
            return not client.ping()
        except redis.ConnectionError:
            return True


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_ends_with_a_killed_run(redis_binary: RedisBinary, how: signal.Signals) -> None:
    """A run that is ended before any fixture can act leaves no server behind."""
    command = [sys.executable, "-c", RUN, str(redis_binary.path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
    ) as run:
        assert run.stdout is not None
        url = run.stdout.readline().strip()
        assert not _refuses(url)
        run.send_signal(how)
    eventually(lambda: _refuses(url))


def test_a_running_server_is_not_started_again(start_redis: Callable[..., RedisServer]) -> None:
    """A second start is an error: the first process would be lost sight of."""
    server = start_redis()
    with pytest.raises(RuntimeError, match="already"):
        server.start()
    with server.client() as client:
        assert client.ping()
