"""deploy/probe.py says by its exit code whether a server may have traffic."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support import LOOPBACK, free_port
from tests.support.house_rules import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support import CertificateAuthority, RedisServer, ServiceProcess


def probe(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it as a probe would."""
    command = [sys.executable, str(ROOT / "deploy" / "probe.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def test_a_server_that_serves(service_process: ServiceProcess) -> None:
    """It is SERVING, and the exit code is 0."""
    done = probe(service_process.address)

    assert (done.returncode, done.stdout) == (0, "SERVING\n"), done.stderr


def test_nobody_there() -> None:
    """A port on which nobody listens is exit code 1 in time, and says so."""
    done = probe(f"{LOOPBACK}:{free_port()}")

    assert (done.returncode, done.stdout) == (1, "")
    assert "UNAVAILABLE" in done.stderr


@pytest.mark.parametrize(("name", "code"), [("sessions.example", 0), ("another.example", 1)])
def test_a_server_with_tls(
    start_service: Callable[..., ServiceProcess],
    redis_server: RedisServer,
    certificate_authority: CertificateAuthority,
    name: str,
    code: int,
) -> None:
    """With the authority that signed it, under the name in its certificate and under no other."""
    issued = certificate_authority.issue("sessions.example")
    tls = {"cert_file": str(issued.certificate), "key_file": str(issued.key)}
    service = start_service({"redis": {"url": redis_server.url}, "server": {"tls": tls}})

    trusted = ("--ca-file", str(certificate_authority.certificate), "--server-name", name)
    assert probe(service.address, *trusted).returncode == code
    assert probe(service.address).returncode == 1
