"""The examples run against the service as `make run` starts it."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.support.service_process import ROOT, ServiceProcess

# Each test runs on both engines.
pytestmark = pytest.mark.usefixtures("engine")


def test_login_and_check() -> None:
    """The example logs in, is logged in, sees its own session, and is out after logging out."""
    with ServiceProcess(dev=True) as service:
        environment = os.environ | service.development_values() | {"PYTHONPATH": str(ROOT / "client")}
        command = [sys.executable, str(ROOT / "examples" / "login_and_check.py")]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)

    assert re.fullmatch(
        r"logged in: session [\w-]{22} until \d\d \w+, \d\d:\d\d UTC\n"
        r"check: yes, demo\n"
        r"session on example \(this one\)\n"
        r"check after logout: no, the session has ended\n",
        done.stdout,
    )
