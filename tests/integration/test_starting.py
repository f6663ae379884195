"""Starting where the locale says ASCII, and starting in vain: at an end at once, with nothing left behind."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support import LOOPBACK, RedisServer, ServiceProcess, eventually
from tests.support.certificates import CertificateAuthority

# Each test runs on every engine.
pytestmark = pytest.mark.usefixtures("engine")

Prepare = Callable[..., ServiceProcess]
SECONDS = 20.0


@pytest.fixture
def prepare(one_redis: RedisServer) -> Iterator[Prepare]:
    """A function that makes a service over `one_redis` without starting it; see `ServiceProcess`."""
    with ExitStack() as services:

        def prepare(*arguments: str, **sections: Any) -> ServiceProcess:
            config = {"redis": {"url": one_redis.url}} | sections
            service = ServiceProcess(config, arguments=arguments)
            services.callback(service.close)
            return service

        yield prepare


@pytest.mark.parametrize("locale", [{"LC_ALL": "C"}, {"LC_ALL": "POSIX"}, {"LC_ALL": "no_SUCH"}, {}])
def test_it_starts_in_any_locale(
    prepare: Prepare, monkeypatch: pytest.MonkeyPatch, locale: dict[str, str]
) -> None:
    """Files with letters beyond ASCII are read as UTF-8, also where Python would not do so by itself."""
    for name in ("LC_ALL", "LC_CTYPE", "LANG", "PYTHONUTF8", "PYTHONIOENCODING"):
        monkeypatch.delenv(name, raising=False)
    # Python helps itself in such a locale; a bare or embedded interpreter does not.
    given = {"PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", **locale}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    service = prepare("--workers", "2")
    common = service.directory / "common.txt"
    common.write_text("пароль-пароль\n", encoding="utf-8")
    with service.config_file.open("a", encoding="utf-8") as config:
        config.write(f"passwords: {{common_list: {common}}}  # häufige\n")
    service.start()
    assert service.stop() == 0


def _taken() -> tuple[socket.socket, str]:
    taken = socket.socket()
    taken.bind((LOOPBACK, 0))
    taken.listen()
    return taken, f"{LOOPBACK}:{taken.getsockname()[1]}"


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("which", ["server", "metrics"])
def test_a_start_in_vain_ends_at_once(
    prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str, workers: str
) -> None:
    """A taken port: exit code 1, and neither process, file nor socket is left."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    taken, address = _taken()
    with taken:
        service = prepare("--workers", workers, **{which: {"listen": address}})
        service.address = f"{LOOPBACK}:1"
        service.launch()
        assert service.wait(SECONDS) == 1
    assert address in service.log()
    assert list(tmp_path.iterdir()) == []
    assert _group(service) == []


def test_a_key_that_does_not_fit_ends_the_start(prepare: Prepare, tmp_path: Path) -> None:
    """Found before any worker starts, and told in one line."""
    authority = CertificateAuthority(tmp_path)
    served, other = authority.issue("server"), authority.issue("other")
    tls = {"cert_file": str(served.certificate), "key_file": str(other.key)}
    ended = prepare(server={"tls": tls}).run("serve")
    assert ended.returncode == 2
    assert ended.stderr.strip() == (
        f"Error: {other.key}: is not the key of the first certificate in {served.certificate}"
    )


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_start_obeys_a_stop(
    prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    """SIGTERM at any moment of a start ends it in order, with nothing left."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    service = prepare("--workers", workers)
    service.launch()
    # When Python and the modules are loaded: the first thing that it does then is to read the configuration.
    eventually(lambda: _has_begun(service), timeout=SECONDS)
    service.signal(signal.SIGTERM)
    assert service.wait(SECONDS) in {0, 1, -signal.SIGTERM}
    assert list(tmp_path.iterdir()) == []
    eventually(lambda: not _group(service), timeout=SECONDS)


def _has_begun(service: ServiceProcess) -> bool:
    return not service.running or "session_service" in Path(f"/proc/{service.pid}/cmdline").read_text(
        encoding="utf-8"
    )


def _group(service: ServiceProcess) -> list[int]:
    """The processes of the service's session that live; it is the leader of one."""
    assert service._process is not None
    leader = service._process.pid
    processes = [each for each in Path("/proc").iterdir() if each.name.isdigit()]
    states = {int(each.name): _state(each) for each in processes}
    return [pid for pid, state in states.items() if state and state[0] != "Z" and state[1] == leader]


def _state(process: Path) -> tuple[str, int] | None:
    """State and session of a process."""
    try:
        fields = (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[3])
