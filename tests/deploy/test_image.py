"""deploy/Dockerfile: its steps, run by hand, since a container engine is not asked for here.

What is copied and installed is done as the file says, into a clean prefix; what is installed then runs as the
image runs: as a user without a name, with a file system that it cannot write to but for an empty /tmp.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from session_service.tokens.keys import new_document
from tests.support import LOOPBACK, RedisServer, eventually, free_port, redis_binaries, require_tool
from tests.support.house_rules import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
TEXT = DOCKERFILE.read_text()
USER = 10001
# Of this repository; no lock names them.
OURS = {"session-service", "session-service-engine"}


def test_the_linter_has_nothing_to_say() -> None:
    """Hadolint, which looks into the shell of RUN lines as well."""
    done = subprocess.run(
        [require_tool("hadolint"), str(DOCKERFILE)], capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.returncode, done.stdout) == (0, "")


def test_it_runs_as_nobody() -> None:
    """By number, as the manifests demand; and both stages are of the same Python."""
    assert re.findall(r"^USER (.*)$", TEXT, re.MULTILINE) == [f"{USER}:{USER}"]
    assert {line.split()[0] for line in re.findall(r"^FROM (.*)$", TEXT, re.MULTILINE)} == {"${BASE}"}


def test_what_is_copied_reaches_the_builder() -> None:
    """A file that a stage copies from the clone is in the context that .dockerignore leaves."""
    context = {path.relative_to(ROOT) for path in _context()}
    for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", TEXT, re.MULTILINE):
        assert sources == "." or Path(sources) in context


@pytest.fixture(scope="module")
def prefix() -> Iterator[Path]:
    """The prefix that the builder's step makes, by a Python that other users may run."""
    with _installed(_python()) as made:
        yield made


@contextlib.contextmanager
def _installed(python: Path) -> Iterator[Path]:
    """The prefix that the builder's step makes from the context, by a Python."""
    # Not pytest's tmp_path, which is its user's alone.
    with tempfile.TemporaryDirectory(prefix="image-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        source = folder / "source"
        for path in _context():
            target = source / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
        assert "deploy/install.sh /opt/session-service\n" in TEXT
        done = subprocess.run(
            [source / "deploy" / "install.sh", folder / "prefix", python],
            # What cargo has built of others' crates already is not built again.
            env={**os.environ, "CARGO_TARGET_DIR": str(ROOT / "engine" / "target")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=500,
        )
        assert done.returncode == 0, done.stderr
        # As the builder's stage, it is gone when the image runs.
        shutil.rmtree(source)
        shutil.copy(ROOT / "deploy" / "probe.py", folder / "prefix")
        yield folder / "prefix"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_only_what_the_locks_name_is_installed(prefix: Path) -> None:
    """Nothing that builds, installs or tests is in the image's environment."""
    listing = "import importlib.metadata as m; print(*{d.name.lower() for d in m.distributions()})"
    names = set(_run(prefix / "bin" / "python", "-I", "-c", listing).stdout.split())
    lock = (ROOT / "requirements-server.lock").read_text()
    pinned = set(re.findall(r"^([\w.-]+)==", lock, re.MULTILINE))

    assert {name.replace("_", "-") for name in names} <= pinned | OURS
    assert names >= OURS


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_program_works(prefix: Path) -> None:
    """Version and help, and without configuration it refuses to serve and says what is missing."""
    program = prefix / "bin" / "session-service"

    assert re.fullmatch(r"session-service \d+\.\d+\.\d+\n", _run(program, "--version").stdout)
    refused = _run(program, "serve")
    assert refused.returncode == 2
    assert "tokens.key_file" in refused.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_serves_confined(prefix: Path) -> None:
    """As that user and on a read-only root it serves on the native engine, follows Redis, drains at SIGTERM.

    Without Redis it listens, so that liveness holds, and is not SERVING, so that readiness does not: by gRPC
    as the image's HEALTHCHECK asks, and by HTTP as Kubernetes does.
    """
    confinement = _confinement(prefix)
    with RedisServer(redis_binaries()[0]) as store:
        store.stop()
        with _serving(prefix, confinement, store.port) as (service, port):
            eventually(lambda: _listens(port), timeout=60)
            assert _probe(prefix, port).returncode == 1
            assert _status(port, "/readyz") == 503
            store.start()
            eventually(lambda: _probe(prefix, port).returncode == 0, timeout=30)
            # Another worker may answer, whose health follows a moment later.
            eventually(lambda: _status(port, "/readyz") == 200, timeout=30)
            service.send_signal(signal.SIGTERM)
            assert service.wait(40) == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_serves_on_the_python_of_the_image() -> None:
    """What the builder's step makes by the version that the image has serves, and drains at SIGTERM."""
    with (
        _installed(_python_of_the_image()) as made,
        RedisServer(redis_binaries()[0]) as store,
        _serving(made, [], store.port) as (service, port),
    ):
        eventually(lambda: _probe(made, port).returncode == 0, timeout=60)
        eventually(lambda: _status(port, "/readyz") == 200, timeout=30)
        service.send_signal(signal.SIGTERM)
        assert service.wait(40) == 0


@contextlib.contextmanager
def _serving(
    prefix: Path, confinement: list[str], redis_port: int
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run the image's entry point in its confinement."""
    _scratch(prefix).mkdir(exist_ok=True)
    key_file = prefix.parent / "keys.json"
    key_file.write_text(json.dumps(new_document("EdDSA")))
    key_file.chmod(0o444)
    port = free_port()
    service = subprocess.Popen(
        [*confinement, prefix / "bin" / "session-service", "serve"],
        cwd="/",
        env={
            "PATH": f"{prefix / 'bin'}:{os.defpath}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(_scratch(prefix)),
            "SESSION_SERVER__LISTEN": f"{LOOPBACK}:{port}",
            "SESSION_SERVER__WORKERS": "2",
            "SESSION_REDIS__HOST": LOOPBACK,
            "SESSION_REDIS__PORT": str(redis_port),
            "SESSION_TOKENS__KEY_FILE": str(key_file),
        },
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield service, port
    finally:
        if service.poll() is None:
            service.terminate()
            service.wait(40)


def _confinement(prefix: Path) -> list[str]:
    """A command line to be followed by what shall run as the image's user, with a root that is read-only."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a root that is read-only and another user")
    mounts = 'mount -o remount,bind,ro / && mount -t tmpfs -o mode=1777 none "$0"'
    user = f"setpriv --reuid {USER} --regid {USER} --clear-groups --no-new-privs --bounding-set -all"
    scratch = _scratch(prefix)
    scratch.mkdir(exist_ok=True)
    confinement = ["unshare", "--mount", "sh", "-c", f'{mounts} && exec {user} -- "$@"', str(scratch)]
    # It does confine: the root cannot be written to, what stands for /tmp can.
    proof = f"! touch {prefix}/x 2>/dev/null && touch {scratch}/x && test $(id -u) = {USER}"
    if _run(*confinement, "sh", "-c", proof).returncode:
        pytest.skip("no mounts of its own for a process in this container")
    return confinement


def _scratch(prefix: Path) -> Path:
    return prefix.parent / "tmp"


def _probe(prefix: Path, port: int) -> subprocess.CompletedProcess[str]:
    return _run(prefix / "bin" / "python", prefix / "probe.py", f"{LOOPBACK}:{port}")


def _listens(port: int) -> bool:
    """What a tcpSocket probe looks at."""
    with socket.socket() as client:
        return client.connect_ex((LOOPBACK, port)) == 0


def _status(port: int, path: str) -> int:
    """What an httpGet probe looks at."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", path)
        return connection.getresponse().status


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.defpath}
    return subprocess.run(
        command, cwd="/", env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def _context() -> Iterator[Path]:
    """The files of the clone that Dockerfile.dockerignore lets in: it names each after `*`."""
    lines = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert (rules[0], rules[-1]) == ("*", "**/__pycache__")
    for rule in rules[1:-1]:
        path = ROOT / rule.removeprefix("!")
        assert rule.startswith("!")
        assert path.exists(), rule
        found = path.rglob("*") if path.is_dir() else [path]
        yield from (each for each in found if each.is_file() and "__pycache__" not in each.parts)


def _python() -> Path:
    """A Python for the prefix: this one, unless it lies where only its own user may look."""
    own = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
    system = (Path(f"/usr/bin/python3.{minor}") for minor in (14, 13, 12, 11))
    return next((path for path in (own, *system) if path.exists() and _for_all(path)), own)


def _python_of_the_image() -> Path:
    """A Python of the version that the image has: the system's, or one beside this one; skips without."""
    [version] = re.findall(r"^ARG BASE=python:(3\.\d+)", TEXT, re.MULTILINE)
    beside = sorted(Path(sys.base_prefix).parent.glob(f"{version}.*/bin/python{version}"))
    for path in (Path("/usr/bin", f"python{version}"), *beside):
        if path.exists():
            return path
    pytest.skip(f"there is no Python {version} here")


def _for_all(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)
