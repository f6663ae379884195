"""The whole service for one test: real gRPC over a socket, real Redis.

It runs inside the test's own event loop. For tests about what calls answer; tests about processes use
``service_process``.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from session_service.app import make_metrics
from session_service.config import Config
from session_service.domain.service_keys import new_service_key, service_key_digest
from session_service.serving import Running, running
from session_service.tokens.keys import new_document
from tests.support.engines import chosen_engine
from tests.support.redis_server import RedisServer
from tests.support.service_client import PASSWORD, ServiceClient, bearer, connect

__all__ = ["ADMIN_KEY", "PASSWORD", "ServiceUnderTest", "bearer", "in_process", "patient_with"]

ADMIN_KEY = new_service_key()


@dataclass(frozen=True, slots=True)
class ServiceUnderTest(ServiceClient):
    """A client of a service, where it serves plain HTTP, and what is inside of that service."""

    http_address: str
    registry: CollectorRegistry
    key_document: Mapping[str, Any]


def patient_with(server: RedisServer) -> dict[str, Any]:
    """The section ``redis`` for tests that are not about time-outs; the machine may be busy."""
    return {"unix_socket": server.socket_path, "connect_timeout": 10, "command_timeout": 10}


@contextlib.asynccontextmanager
async def in_process(
    redis: Mapping[str, Any], directory: Path, **sections: Mapping[str, Any]
) -> AsyncIterator[ServiceUnderTest]:
    """Run the service.

    Args:
        redis: the section ``redis`` of its configuration.
        directory: for its key file; a second service in the same directory uses the same keys.
        **sections: further sections, such as ``session={"max_sessions": 3}``.
    """
    key_file = directory / "keys.json"
    if not key_file.exists():
        key_file.write_text(json.dumps(new_document("HS256")))
    async with (
        _serving(_config(redis, key_file, sections)) as (server, registry),
        connect(server.address, ADMIN_KEY) as client,
    ):
        yield ServiceUnderTest(
            client.address,
            client.channel,
            client.sessions,
            client.admin_stub,
            client.admin,
            server.http_address or "",
            registry,
            json.loads(key_file.read_text()),
        )


def _config(redis: Mapping[str, Any], key_file: Path, sections: Mapping[str, Mapping[str, Any]]) -> Config:
    admin_key = {"name": "tests", "digest": service_key_digest(ADMIN_KEY), "roles": ["admin"]}
    raw: dict[str, Any] = {
        # A busy machine is not what these tests are about.
        "redis": {"connect_timeout": 2.0, **redis},
        "tokens": {"key_file": key_file},
        "admin": {"service_keys": [admin_key]},
        "server": {
            "engine": chosen_engine(),
            "listen": "127.0.0.1:0",
            "http_listen": "127.0.0.1:0" if chosen_engine() == "grpc-aio" else None,
            "reflection": True,
            "shutdown_grace": 2,
        },
    }
    for name, values in sections.items():
        raw[name] = {**raw.get(name, {}), **values}
    return Config.model_validate(raw)


@contextlib.asynccontextmanager
async def _serving(config: Config) -> AsyncIterator[tuple[Running, CollectorRegistry]]:
    """Serve on the engine that is configured; gives the server and the metrics."""
    registry = CollectorRegistry()
    async with running(config, make_metrics(registry)) as server:
        yield server, registry
