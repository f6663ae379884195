"""`session-service --dev`: everything for a first call, made on the spot and kept."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from session_api.v1 import session_service_pb2 as pb

from tests.support import RedisServer, ServiceProcess, eventually, eventually_async, require_tool
from tests.support.house_rules import ROOT
from tests.support.processes import alive
from tests.support.service_client import connect

# Each test runs on both engines.
pytestmark = pytest.mark.usefixtures("engine")

SESSIONS = "user_session:*"


@pytest.fixture
def prepare() -> Iterator[Callable[..., ServiceProcess]]:
    """A function that makes a service in development mode without starting it."""
    with ExitStack() as services:

        def prepare(**sections: Any) -> ServiceProcess:
            service = ServiceProcess(sections, dev=True)
            services.callback(service.close)
            return service

        yield prepare


def redis_of(service: ServiceProcess) -> redis.Redis:
    """A client of the embedded Redis."""
    return redis.Redis(unix_socket_path=str(service.data_directory / "redis.sock"))


def redis_pid(service: ServiceProcess) -> int:
    """The process of the embedded Redis."""
    with redis_of(service) as client:
        return int(client.info("server")["process_id"])


async def log_in(service: ServiceProcess) -> str:
    """Log the demo user in with what `dev.env` says; returns the access token."""
    values = service.development_values()
    async with connect(values["SESSION_ADDRESS"], values["SESSION_ADMIN_KEY"]) as client:
        request = pb.LoginRequest(
            username=values["SESSION_DEMO_USERNAME"], password=values["SESSION_DEMO_PASSWORD"]
        )
        return (await client.sessions.Login(request)).access_token


async def verify(service: ServiceProcess, token: str) -> None:
    """Check a token."""
    async with connect(service.address, service.admin_key) as client:
        await client.verify(token)


async def test_ready_means_served_and_written_down(dev_service: ServiceProcess) -> None:
    """Address, demo user and admin key in `dev.env` work, and are printed."""
    values = dev_service.development_values()
    assert values["SESSION_ADDRESS"] == dev_service.address
    assert values["SESSION_HTTP_ADDRESS"] == dev_service.http_address
    await verify(dev_service, await log_in(dev_service))
    async with connect(dev_service.address, values["SESSION_ADMIN_KEY"]) as client:
        await client.open_session()

    printed = dev_service.output()
    assert all(value in printed for value in values.values())
    assert "Traceback" not in dev_service.log()


def test_what_is_printed_works_when_pasted(dev_service: ServiceProcess) -> None:
    """REST answers at the address that is shown."""
    require_tool("curl")
    rest = re.search(r"\nREST is served on .*?\n\n(.*?)\n\n", dev_service.output(), re.DOTALL)
    assert rest is not None
    pasted = subprocess.run(
        ["bash", "-ec", rest[1]],  # noqa: S607
        check=True,
        capture_output=True,
        text=True,
        cwd=dev_service.directory,
    )
    assert '"username":"demo"' in pasted.stdout


def test_secrets_are_for_their_owner_alone(dev_service: ServiceProcess) -> None:
    """The directory has mode 0700, and each file in it that tells something 0600; the log has no secret."""
    directory = dev_service.data_directory
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    files = [path for path in directory.rglob("*") if path.is_file() and path.stat().st_size > 8]
    assert {"dev.env", "keys.json", "redis.log"} <= {path.name for path in files}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}

    values = dev_service.development_values()
    assert values["SESSION_DEMO_PASSWORD"] not in dev_service.log()
    assert values["SESSION_ADMIN_KEY"] not in dev_service.log()


async def test_a_restart_keeps_sessions_and_credentials(dev_service: ServiceProcess) -> None:
    """Tokens, password and admin key of the last run go on working."""
    token, before = await log_in(dev_service), dev_service.development_values()
    assert dev_service.stop() == 0
    dev_service.start()

    assert dev_service.development_values() == before
    await verify(dev_service, token)
    await log_in(dev_service)


async def test_what_a_kill_leaves_behind_is_taken_over(dev_service: ServiceProcess) -> None:
    """After SIGKILL the next start ends the Redis left over, and has every session."""
    token, orphan = await log_in(dev_service), redis_pid(dev_service)
    dev_service.kill()
    assert alive(orphan)
    dev_service.start()

    assert not alive(orphan)
    await verify(dev_service, token)


async def test_a_redis_that_dies_comes_back(dev_service: ServiceProcess) -> None:
    """The embedded Redis is started again over its data, and the service recovers by itself."""
    token, before = await log_in(dev_service), redis_pid(dev_service)
    os.kill(before, signal.SIGKILL)

    async def recovered() -> bool:
        try:
            await verify(dev_service, token)
        except Exception:  # noqa: BLE001 - whatever it is, it must pass
            return False
        return True

    eventually(lambda: dev_service.events("redis-server ended; started again"), timeout=20)
    await eventually_async(recovered, timeout=20)
    assert redis_pid(dev_service) != before


def test_two_at_once_is_told_and_harms_nobody(dev_service: ServiceProcess) -> None:
    """The second says who has the directory, ends with 1, and leaves `dev.env` of the first alone."""
    before = dev_service.development_values()
    second = dev_service.run("serve")

    assert second.returncode == 1
    assert second.stderr.startswith(
        f"Error: {dev_service.data_directory} is in use by another session-service"
    )
    assert f"process {dev_service.pid}" in second.stderr
    assert second.stderr.count("\n") == 1
    assert dev_service.development_values() == before
    assert dev_service.running


def test_a_start_that_fails_is_not_taken_for_ready(dev_service: ServiceProcess) -> None:
    """`dev.env` of the last run is not there until the service is ready again; its values come back."""
    before = dev_service.development_values()
    dev_service.stop()
    dev_service.key_file = dev_service.data_directory / "keys.json"
    good = dev_service.key_file.read_text()
    dev_service.key_file.write_text("{}")

    assert dev_service.run("serve").returncode == 2
    assert not (dev_service.data_directory / "dev.env").exists()
    dev_service.key_file.write_text(good)
    dev_service.start()
    assert dev_service.development_values() == before


def test_an_edited_env_file_is_no_obstacle(dev_service: ServiceProcess) -> None:
    """What is no shell syntax any more counts as lost: new credentials are made."""
    before = dev_service.development_values()
    dev_service.stop()
    (dev_service.data_directory / "dev.env").write_text("SESSION_ADMIN_KEY='oops\n")
    dev_service.start()

    assert dev_service.development_values()["SESSION_ADMIN_KEY"] != before["SESSION_ADMIN_KEY"]


async def test_new_credentials_are_the_demo_users(dev_service: ServiceProcess) -> None:
    """Where `dev.env` is lost the demo user gets a new password, and keeps the sessions."""
    token = await log_in(dev_service)
    dev_service.stop()
    for path in dev_service.data_directory.glob("dev.env*"):
        path.unlink()
    dev_service.start()

    await verify(dev_service, token)
    await log_in(dev_service)


def test_commands_use_the_redis_that_runs(dev_service: ServiceProcess) -> None:
    """Beside a server a command sees its users, and leaves `dev.env` alone."""
    before = (dev_service.data_directory / "dev.env").stat()
    listed = dev_service.run("user", "list")

    assert listed.returncode == 0
    assert "demo" in listed.stdout
    assert listed.stderr == ""
    after = (dev_service.data_directory / "dev.env").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_commands_work_while_no_server_runs(prepare: Callable[..., ServiceProcess]) -> None:
    """A command starts Redis for as long as it takes, keeps what it did, and makes no credentials."""
    service = prepare()
    added = service.run("user", "add", "ada", "--password-stdin", text="correct horse battery\n")
    assert added.returncode == 0, added.stderr
    assert "ada" in service.run("user", "list").stdout

    left = {path.name for path in service.data_directory.iterdir()}
    assert not left & {"dev.env", "keys.json", "redis.sock"}


def test_commands_at_once_share_a_redis(prepare: Callable[..., ServiceProcess]) -> None:
    """Who started it waits for the others before stopping it: none of them fails."""
    service = prepare()

    def add(number: int) -> subprocess.CompletedProcess[str]:
        return service.run("user", "add", f"user-{number}", "--password-stdin", text="correct horse battery")

    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(add, range(4)))
    assert [each.stderr for each in ended] == [""] * 4
    assert "users: 4" in service.run("user", "list").stdout


def test_a_deep_directory_is_reached_from_nearby(prepare: Callable[..., ServiceProcess]) -> None:
    """A unix socket's path is limited; its shorter, relative spelling is used."""
    service = prepare()
    deep = service.directory / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    environment = _environment() | {"SESSION_SERVER__LISTEN": service.address}
    command = [sys.executable, "-m", "session_service.cli", "--dev", "user", "list"]
    ended = subprocess.run(command, cwd=deep, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "users: 0\n"), ended.stderr


def test_a_directory_out_of_reach_is_told(prepare: Callable[..., ServiceProcess]) -> None:
    """A path too long either way is named with its limit, by key."""
    service = prepare(redis={"data_dir": f"{'d' * 100}/{'e' * 100}"})
    for command in (["serve"], ["user", "list"]):
        ended = service.run(*command)
        assert ended.returncode == 3
        assert ended.stderr.startswith("Error: redis.data_dir: the path of a unix socket in it has ")
        assert "may have 103" in ended.stderr


async def test_a_redis_that_is_configured_is_used(
    one_redis: RedisServer, prepare: Callable[..., ServiceProcess]
) -> None:
    """Development mode makes only what is missing; the directory is still its own alone."""
    service = prepare(redis={"url": one_redis.url})
    service.start()
    await log_in(service)

    with one_redis.client() as client:
        assert len(client.keys(SESSIONS)) == 1
    assert not (service.data_directory / "redis.log").exists()
    assert service.run("serve").returncode == 1


def test_ctrl_c_ends_everything(dev_service: ServiceProcess) -> None:
    """A terminal sends SIGINT to every process of the group: all end in order, Redis last."""
    embedded = redis_pid(dev_service)
    os.killpg(dev_service.pid, signal.SIGINT)

    assert dev_service.wait() == 0
    assert not alive(embedded)
    # Nobody missed Redis while there was something left to do.
    assert '"level": "info"' in dev_service.log()
    assert all('"level": "info"' in line for line in dev_service.log().splitlines())


def test_a_closed_terminal_ends_everything(prepare: Callable[..., ServiceProcess]) -> None:
    """Whoever closes the window leaves no server behind, though SIGHUP alone means new keys."""
    service = prepare()
    master, slave = os.openpty()
    command = [sys.executable, "-m", "session_service.cli", "--config", service.config_file, "--dev", "serve"]
    # A session leader that opens a terminal gets it as the controlling one.
    leader = (
        "import os, sys; os.setsid(); os.open(os.ttyname(0), os.O_RDWR); os.execv(sys.argv[1], sys.argv[1:])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", leader, *map(str, command)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=service.directory,
        env=_environment(),
    ) as process:
        os.close(slave)
        try:
            _read_until(master, b"As an operator")
            embedded = redis_pid(service)
            os.close(master)
            assert process.wait(30) == 0
        finally:
            process.kill()
    assert not alive(embedded)


def _read_until(descriptor: int, text: bytes) -> None:
    seen = b""
    while text not in seen:
        seen += os.read(descriptor, 65_536)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SESSION_")}
    return kept | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(ROOT, "client"))])}
