"""`session-service` commands inside the test's own process; `ServiceProcess.run` is for those in another."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from typing import TYPE_CHECKING, Any, TypeVar

from click.testing import CliRunner, Result
from prometheus_client import CollectorRegistry

from session_service.app import Backend, make_metrics
from session_service.cli.main import main
from session_service.config import load_config
from tests.support.stores import new_session

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

T = TypeVar("T")

PASSWORD = "correct horse battery"


class Commands:
    """Runs commands with a configuration of the test's own.

    Args:
        environment: `SESSION_…` variables, which are the whole configuration.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)

    def __call__(self, *arguments: str, text: str | bytes = "") -> Result:
        """Run a command with `text` on its standard input, which is no terminal."""
        root = logging.getLogger()
        handlers, level = root.handlers, root.level
        terminated = signal.getsignal(signal.SIGTERM)
        try:
            return CliRunner().invoke(
                main, arguments, input=text, env=self.environment, prog_name="session-service"
            )
        finally:
            signal.signal(signal.SIGTERM, terminated)
            root.handlers, root.level = handlers, level

    def json(self, *arguments: str, text: str = "") -> Any:
        """The document that a command prints with `--json`; it must succeed."""
        result = self(*arguments, "--json", text=text)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def add_user(self, username: str = "ada", *options: str) -> str:
        """Add a user whose password is `PASSWORD`; returns the user id."""
        document = self.json("user", "add", username, "--password-stdin", *options, text=PASSWORD)
        return str(document["user"]["user_id"])

    def add_session(self, user_id: str, **changes: Any) -> str:
        """Open a session; returns its id."""
        new = new_session(user_id, **changes)
        self.with_backend(lambda backend: backend.writer.create(new))
        return new.session_id

    def with_backend(self, work: Callable[[Backend], Awaitable[T]]) -> T:
        """Do something with the Redis of the configuration."""

        async def run() -> T:
            config = load_config(None, self.environment)
            async with Backend(config, make_metrics(CollectorRegistry())) as backend:
                return await work(backend)

        return asyncio.run(run())
