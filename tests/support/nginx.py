"""A real nginx by deploy/nginx/gateway.conf."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final, Self

from tests.support.house_rules import ROOT
from tests.support.http1 import exchange
from tests.support.ports import LOOPBACK, free_port
from tests.support.tether import Tether
from tests.support.tools import require_tool
from tests.support.waiting import eventually

_FOLDER: Final = ROOT / "deploy" / "nginx"
_MAIN: Final = """
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include gateway.conf;
}
"""


class Nginx:
    """One nginx, ended by its id and never by name.

    Args:
        service: host:port where the service answers forward-auth.
        upstream: host:port of what is behind nginx.
    """

    def __init__(self, service: str, upstream: str) -> None:
        self.address = f"{LOOPBACK}:{free_port()}"
        self._binary = require_tool("nginx")
        self._directory = tempfile.TemporaryDirectory(prefix="nginx-")
        folder = Path(self._directory.name)
        shutil.copytree(_FOLDER, folder, dirs_exist_ok=True)
        file = folder / "gateway.conf"
        text = file.read_text()
        for port, address in ((8080, self.address), (50051, service), (10080, upstream)):
            text = text.replace(f"{LOOPBACK}:{port}", address)
        file.write_text(text)
        (folder / "nginx.conf").write_text(_MAIN)
        self._folder, self._log = folder, folder / "log"

    def __enter__(self) -> Self:
        """Start it, and wait until it listens."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [self._binary, "-p", self._folder, "-c", "nginx.conf", "-e", "stderr"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._tether = Tether(self._process.pid)
        eventually(self._settled, timeout=10)
        assert self._process.poll() is None, self._log.read_text()
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._tether.release()
        self._directory.cleanup()

    def _settled(self) -> bool:
        if self._process.poll() is not None:
            return True
        try:
            # A path that nginx answers by itself, whatever is behind it.
            return exchange(self.address, "/;").status == 400
        except OSError:
            return False
