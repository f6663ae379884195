"""Every connection to Redis over TLS, of whichever client, uses the renewing context."""

from __future__ import annotations

from typing import Any

from session_service.storage.cluster import ClusterClient
from session_service.storage.dialling import node_target
from session_service.storage.sentinel import Sentinels
from session_service.storage.settings import RedisSentinel, RedisSettings, RedisTls

AT = ("127.0.0.1", 1)


async def test_the_nodes_of_a_cluster_use_it() -> None:
    """Those that are configured and those that are found later, made from one dictionary of redis-py."""
    settings = RedisSettings(cluster=(AT,), tls=RedisTls())
    assert settings.tls is not None
    client = ClusterClient(settings)
    assert client.nodes_manager.connection_kwargs is client.connection_kwargs
    assert client.connection_kwargs["tls_context"] is settings.tls.context
    [node] = client.startup_nodes
    connection: Any = node.acquire_connection()
    assert connection.ssl_context is settings.tls.context


async def test_sentinels_use_it() -> None:
    """Sentinels are asked over TLS too."""
    settings = RedisSettings(sentinel=RedisSentinel("sessions", (AT,)), tls=RedisTls())
    assert settings.sentinel is not None
    assert settings.tls is not None
    [client] = Sentinels(settings.sentinel, settings)._sentinel.sentinels
    connection: Any = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    assert connection.ssl_context is settings.tls.context


async def test_the_primary_uses_it() -> None:
    """Changes and reads."""
    settings = RedisSettings(tls=RedisTls())
    assert settings.tls is not None
    make, kwargs = node_target(settings, AT)
    assert make(**kwargs).ssl_context is settings.tls.context  # type: ignore[attr-defined]
