"""A server that ends by itself ends its process, to be started anew: one that lives on serves nobody."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from session_service.app import make_metrics
from session_service.config import Config
from session_service.opening import Opened
from session_service.orders import Orders
from session_service.serving import ServingEndedError, serve
from session_service.tokens.keys import new_document
from tests.support import LOOPBACK, RedisServer
from tests.support.raw_http2 import raw_http2


@pytest.fixture
def config(one_redis: RedisServer, tmp_path: Path) -> Config:
    """A configuration over `one_redis`."""
    key_file = tmp_path / "keys.json"
    key_file.write_text(json.dumps(new_document("HS256")))
    return Config.model_validate(
        {
            "redis": {"host": LOOPBACK, "port": one_redis.port},
            "tokens": {"key_file": key_file},
            "server": {"listen": f"{LOOPBACK}:0", "drain_delay": 30, "shutdown_grace": 1},
        }
    )


async def test_the_end_of_a_server_is_an_error(config: Config) -> None:
    """A path that is not UTF-8 ends a server of the library itself: noticed, though a call never ends."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def open_server(_config: Config, _http: object, _certificates: object) -> Opened:
        server: Any = grpc.aio.server()
        return Opened(server, f"{LOOPBACK}:{server.add_insecure_port(f'{LOOPBACK}:0')}", None)

    registry = make_metrics(CollectorRegistry())
    serving = asyncio.create_task(serve(config, registry, Orders(), ready.set_result, open_server))
    address = await ready
    async with grpc.aio.insecure_channel(address) as channel, raw_http2(address) as connection:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        await watch.read()
        await connection.open("/\udcff")
        with pytest.raises(ServingEndedError):
            await asyncio.wait_for(serving, 10)
