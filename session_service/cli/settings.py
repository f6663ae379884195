"""What the options before a command say, and what a command gets by them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import click
from prometheus_client import CollectorRegistry

from session_service.app import Backend, make_metrics, patient
from session_service.config import Config, ConfigError, load_config, missing_store
from session_service.development import with_defaults
from session_service.domain.events import Actor
from session_service.observability.logs import configure_logging
from session_service.storage.embedded import borrowed_redis

T = TypeVar("T")

ACTOR: Final = Actor("cli")
"""Who acts, in the audit trail."""


class Settings:
    """The configuration that the options name, read when a command first asks for it.

    Args:
        path: the YAML file; ``None`` = the one that ``SESSION_CONFIG`` names, if any.
        dev: development mode.
        verbose: whether commands show the log too.
    """

    def __init__(self, path: Path | None, *, dev: bool, verbose: bool) -> None:
        self.dev = dev
        self._path = path
        self._verbose = verbose

    def load(self) -> Config:
        """Read and check the configuration.

        Raises:
            ConfigError: it cannot be used; every wrong key is named.
        """
        config = load_config(self._path, os.environ)
        return with_defaults(config) if self.dev else config

    def run(self, work: Callable[[Backend], Awaitable[T]]) -> T:
        """Do something with Redis, whether or not a server runs; its audit events are written at the end.

        Raises:
            ConfigError: the configuration cannot be used, or names no Redis.
            EmbeddedRedisError: the embedded Redis neither runs nor starts.
            SessionServiceError: as ``work`` does.
        """
        config = self.load()
        if missing := missing_store(config):
            raise ConfigError(*missing)
        configure_logging("console", "info" if self._verbose else "error")
        with _redis(config):
            return asyncio.run(_with_backend(patient(config), work))


@contextlib.contextmanager
def _redis(config: Config) -> Iterator[None]:
    if config.redis.embedded:
        with borrowed_redis(config.redis.data_dir):
            yield
    else:
        yield


async def _with_backend(config: Config, work: Callable[[Backend], Awaitable[T]]) -> T:
    async with Backend(config, make_metrics(CollectorRegistry())) as backend:
        return await work(backend)


pass_settings = click.make_pass_decorator(Settings)
