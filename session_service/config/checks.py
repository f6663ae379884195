"""What keys must hold together, and what must be there before the service may serve."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from session_service.config.documents import variable

if TYPE_CHECKING:
    from session_service.config.sections import Config

_PLACES = "redis.url, redis.host, redis.unix_socket, redis.sentinel, redis.cluster or redis.embedded"


def conflicts(config: Config) -> Iterator[str]:
    """Problems between keys that are each right by themselves, one line each."""
    yield from _session_conflicts(config)
    yield from _redis_conflicts(config)
    yield from _server_conflicts(config)


def missing_to_serve(config: Config) -> tuple[str, ...]:
    """What a server outside ``--dev`` still needs, by key, one line each; empty = nothing."""
    missing = list(missing_store(config))
    if config.tokens.key_file is None:
        missing.append(f"tokens.key_file is not set ({variable('tokens.key_file')}=...)")
    return tuple(missing)


def missing_store(config: Config) -> tuple[str, ...]:
    """What it still takes to reach Redis, likewise."""
    if config.redis.places():
        return ()
    return (f"redis is not configured: set one of {_PLACES} ({variable('redis.host')}=...)",)


def _session_conflicts(config: Config) -> Iterator[str]:
    session = config.session
    if session.token_expire > session.default_session_expire:
        yield (
            f"session.token_expire: {session.token_expire} must be at most "
            f"session.default_session_expire ({session.default_session_expire})"
        )
    if session.refresh_grace >= session.token_expire:
        yield (
            f"session.refresh_grace: {session.refresh_grace} must be below "
            f"session.token_expire ({session.token_expire})"
        )
    if session.idle_timeout and session.touch_interval >= session.idle_timeout:
        yield (
            f"session.touch_interval: {session.touch_interval} must be below "
            f"session.idle_timeout ({session.idle_timeout})"
        )


def _redis_conflicts(config: Config) -> Iterator[str]:
    redis = config.redis
    if len(redis.places()) > 1:
        yield f"redis: {', '.join(redis.places())} exclude each other; set one"
    if redis.cluster and redis.db:
        yield f"redis.db: {redis.db} must be 0 in a cluster"
    if redis.tls and (redis.tls.cert_file is None) != (redis.tls.key_file is None):
        yield "redis.tls: cert_file and key_file go together"


def _server_conflicts(config: Config) -> Iterator[str]:
    tls = config.server.tls
    if tls and tls.require_client_certificate and tls.client_ca_file is None:
        yield "server.tls.require_client_certificate: needs server.tls.client_ca_file"
    if config.server.workers > 1 and config.server.listen.startswith("unix:"):
        yield "server.workers: must be 1 where server.listen is a unix socket, which cannot be shared"
    if config.server.http_listen == config.server.listen:
        yield "server.http_listen: must be another address than server.listen, where gRPC is served"
    if config.server.workers > 1 and (config.server.http_listen or "").startswith("unix:"):
        yield "server.workers: must be 1 where server.http_listen is a unix socket, which cannot be shared"
    keys = config.admin.service_keys
    if len({key.name for key in keys}) < len(keys):
        yield "admin.service_keys: two keys have the same name"
    if len({key.digest for key in keys}) < len(keys):
        yield "admin.service_keys: two keys have the same digest"
