"""``session-service serve``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from session_service import supervisor
from session_service.config import Config, missing_to_serve
from session_service.observability.logs import configure_logging
from session_service.storage.embedded import EmbeddedRedis, EmbeddedRedisError
from session_service.tokens.keys import KeyRingError

if TYPE_CHECKING:
    from session_service.cli.main import Settings


@click.command()
@click.option("--workers", type=click.IntRange(1, 256), help="Processes that share the port.")
@click.pass_obj
def serve(settings: Settings, workers: int | None) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish the calls in flight.

    SIGHUP has the signing keys read again. Outside --dev, a Redis and a key file must be
    configured: `session-service keys new` makes one.
    """
    try:
        if settings.dev:
            _serve_in_development(settings, workers)
        else:
            _serve(settings, workers)
    except (EmbeddedRedisError, KeyRingError, OSError, supervisor.WorkerFailedError) as error:
        raise click.ClickException(str(error)) from error


def _serve(settings: Settings, workers: int | None) -> None:
    config = _with_workers(settings.load(), workers)
    if missing := missing_to_serve(config):
        raise click.ClickException("cannot serve yet:\n" + "\n".join(missing))
    configure_logging(config.logging.format, config.logging.level)
    with embedded_redis(config):
        supervisor.run(config, lambda _: None)


def _serve_in_development(settings: Settings, workers: int | None) -> None:
    development = settings.develop()
    config = _with_workers(development.config, workers)
    configure_logging(config.logging.format, config.logging.level)
    with embedded_redis(config):
        development.add_demo_user()
        supervisor.run(config, lambda address: click.echo(development.announce(address)))


@contextlib.contextmanager
def embedded_redis(config: Config) -> Iterator[None]:
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


def _with_workers(config: Config, workers: int | None) -> Config:
    if workers is None:
        return config
    return config.model_copy(update={"server": config.server.model_copy(update={"workers": workers})})
