"""``session-service serve``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import click

from session_service import supervisor
from session_service.cli.commands import Command
from session_service.cli.settings import Settings, pass_settings
from session_service.config import Config, ConfigError, conflicts, missing_to_serve
from session_service.config.sections import Engine
from session_service.development import develop
from session_service.observability.logs import configure_logging
from session_service.storage.directory_lock import DirectoryLock
from session_service.storage.embedded import EmbeddedRedis


@click.command(cls=Command, examples=["--dev serve", "--config session.yaml serve --workers 4"])
@click.option("--workers", type=click.IntRange(1, 256), help="Processes that share the port.")
@click.option("--engine", type=click.Choice([each.value for each in Engine]), help="What carries the calls.")
@pass_settings
def serve(settings: Settings, *, workers: int | None, engine: str | None) -> None:
    """Serve until SIGTERM or Ctrl-C.

    The calls in flight are finished then. SIGHUP has the signing keys read again. Outside --dev, a Redis and
    a key file must be configured; 'keys new' makes one.
    """
    config = _with_server(settings.load(), workers=workers, engine=Engine(engine) if engine else None)
    if problems := (*conflicts(config), *missing_to_serve(config)):
        raise ConfigError(*problems)
    configure_logging(config.logging.format, config.logging.level)
    if settings.dev:
        _serve_in_development(config)
        return
    with _embedded_redis(config):
        supervisor.run(config, lambda _address, _http_address: None)


def _serve_in_development(config: Config) -> None:
    """Serve, alone in the data directory: what is in it belongs to the one that runs."""
    with _embedded_redis(config) if config.redis.embedded else DirectoryLock(config.redis.data_dir):
        development = develop(config)
        development.add_demo_user()

        def announce(address: str, http_address: str | None) -> None:
            click.echo(development.announce(address, http_address))

        supervisor.run(development.config, announce)


@contextlib.contextmanager
def _embedded_redis(config: Config) -> Iterator[None]:
    """Run the embedded redis-server around a block, if the configuration asks for one."""
    if not config.redis.embedded:
        yield
        return
    redis = EmbeddedRedis(config.redis.data_dir)
    redis.start()
    try:
        yield
    finally:
        redis.stop()


def _with_server(config: Config, **values: object) -> Config:
    """The configuration with what was given on the command line in its section ``server``."""
    given = {name: value for name, value in values.items() if value is not None}
    return config.model_copy(update={"server": config.server.model_copy(update=given)})
