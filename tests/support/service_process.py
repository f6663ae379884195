"""ServiceProcess: `session-service serve` as users start it, in processes of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import redis
import yaml

from session_service.domain.service_keys import new_service_key, service_key_digest
from session_service.tokens.keys import new_document
from tests.support.engines import chosen_engine
from tests.support.ports import LOOPBACK, free_port
from tests.support.tether import Tether
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).parents[2]
_START_TIMEOUT: Final = 60.0
_STOP_TIMEOUT: Final = 30.0


class ServiceProcess:
    """One running service with a configuration, keys and directory of its own, on a port that it keeps.

    Starting waits for the log's line `ready`: every worker listens and has looked at Redis. The log is
    JSON; it begins afresh with each start. Ended by process id and never by name.

    Args:
        config: Sections of the YAML file, such as `{"redis": {"port": 6379}}`; they override what
            is set here: the port, a key file, an admin service key, the log's format.
        dev: Run `session-service --dev serve`: Redis, keys and demo user are made by the service itself.
        arguments: What follows `serve`, such as `("--workers", "2")`.
    """

    def __init__(
        self,
        config: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        dev: bool = False,
        arguments: tuple[str, ...] = (),
    ) -> None:
        # Not pytest's tmp_path: a unix socket's path may have 104 to 108 bytes.
        self._directory = tempfile.TemporaryDirectory(prefix="service-", dir="/tmp")
        self.directory = Path(self._directory.name)
        self.address = f"{LOOPBACK}:{free_port()}"
        self.http_address = ""
        """Where plain HTTP is served: on `grpc-aio` on a port of its own."""
        self.admin_key = new_service_key()
        """Metadata `x-service-key` of an operator; in development mode the one in `dev.env`."""
        self.key_file = self.directory / "keys.json"
        self.key_document: dict[str, Any] = new_document("EdDSA")
        """The key ring as first written into `key_file`; in development mode the service makes its own."""
        self.data_directory = self.directory / ".session-service"
        self.config_file = self.directory / "config.yaml"
        self.log_file = self.directory / "service.log"
        self.output_file = self.directory / "output"
        self._dev = dev
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._tether: Tether | None = None
        self._write_files(config or {})

    def __enter__(self) -> Self:
        """Start the service."""
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the service and remove its directory."""
        self.close()

    @property
    def running(self) -> bool:
        """Whether the first process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The id of the first process: with several workers their supervisor's."""
        return self._live_process().pid

    @property
    def worker_pids(self) -> list[int]:
        """The ids of the processes that began to serve, in that order; with one worker it is `pid`."""
        return [event["pid"] for event in self.events("serving")]

    def start(self) -> None:
        """Start the service and wait until it is ready.

        Raises:
            RuntimeError: It ended instead; the message has its log.
        """
        self.launch()
        if eventually(self._settled, timeout=_START_TIMEOUT) == "ended":
            message = f"the service ended while starting:\n{self.log()}"
            raise RuntimeError(message)
        if self._dev:
            self.admin_key = self.development_values()["SESSION_ADMIN_KEY"]

    def launch(self) -> None:
        """Start the process without waiting for anything."""
        self._release()
        # A worker that outlives a killed supervisor for a moment goes on writing into the file it has.
        self.log_file.unlink(missing_ok=True)
        with self.log_file.open("wb") as log, self.output_file.open("wb") as output:
            self._process = subprocess.Popen(
                self._command("serve", *self._arguments),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                cwd=self.directory,
                env=self._environment(),
                # Nobody's Ctrl-C but the test's own.
                start_new_session=True,
            )
        self._tether = Tether(self._process.pid)

    def stop(self) -> int:
        """SIGTERM, and wait until the service has drained; its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """SIGKILL to the first process; workers and an embedded Redis are left to themselves."""
        self.signal(signal.SIGKILL)
        self.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the first process."""
        self._live_process().send_signal(number)

    def wait(self, timeout: float = _STOP_TIMEOUT) -> int:
        """Wait until the first process has ended; its exit code, negative for a signal."""
        assert self._process is not None
        return self._process.wait(timeout)

    def run(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run another `session-service` command with the same configuration, `text` on its standard input."""
        return subprocess.run(
            self._command(*arguments),
            input=text,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.directory,
            env=self._environment(),
            timeout=_START_TIMEOUT,
        )

    def log(self) -> str:
        """What the service wrote to standard error since its last start."""
        return self.log_file.read_text() if self.log_file.exists() else ""

    def output(self) -> str:
        """What the service wrote to standard output since its last start."""
        return self.output_file.read_text() if self.output_file.exists() else ""

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's lines of one event, such as `serving` or `ready`, with their facts."""
        lines = [line for line in self.log().splitlines(keepends=True) if line.endswith("}\n")]
        return [event for line in lines if (event := json.loads(line))["event"] == name]

    def development_values(self) -> dict[str, str]:
        """What development mode wrote for scripts, by variable: SESSION_ADDRESS, SESSION_DEMO_PASSWORD ..."""
        lines = (self.data_directory / "dev.env").read_text().splitlines()
        return {name: value for name, _, value in (line.partition("=") for line in lines)}

    def close(self) -> None:
        """End the service, and an embedded Redis that outlived it, and remove the directory."""
        if self.running:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()
        self._release()
        self._end_orphan()
        self._directory.cleanup()

    def _write_files(self, config: Mapping[str, Mapping[str, Any]]) -> None:
        sections: dict[str, dict[str, Any]] = {
            "server": {"listen": self.address, "engine": chosen_engine()},
            "logging": {"format": "json"},
            "redis": {"data_dir": str(self.data_directory)},
        }
        if not self._dev:
            digest = service_key_digest(self.admin_key)
            sections["tokens"] = {"key_file": str(self.key_file)}
            sections["admin"] = {"service_keys": [{"name": "test", "digest": digest, "roles": ["admin"]}]}
            self.key_file.write_text(json.dumps(self.key_document))
        for name, values in config.items():
            sections[name] = sections.get(name, {}) | dict(values)
        server = sections["server"]
        if server["engine"] == "grpc-aio":
            server.setdefault("http_listen", f"{LOOPBACK}:{free_port()}")
        self.address = server["listen"]
        self.http_address = server.get("http_listen") or self.address
        self.config_file.write_text(yaml.safe_dump(sections), encoding="utf-8")

    def _command(self, *arguments: str) -> list[str | Path]:
        mode = ["--dev"] if self._dev else []
        return [sys.executable, "-m", "session_service.cli", "--config", self.config_file, *mode, *arguments]

    def _environment(self) -> dict[str, str]:
        """The test's own, less any configuration in it."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SESSION_")}
        return kept | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "client")])}

    def _settled(self) -> str | None:
        if not self.running:
            return "ended"
        return "ready" if self.events("ready") else None

    def _live_process(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            message = "the service is not running"
            raise RuntimeError(message)
        return self._process

    def _release(self) -> None:
        if self._tether is not None:
            self._tether.release()
            self._tether = None

    def _end_orphan(self) -> None:
        socket = self.data_directory / "redis.sock"
        if not socket.exists():
            return
        with suppress(redis.ConnectionError), redis.Redis(unix_socket_path=str(socket)) as client:
            client.shutdown(nosave=True)
