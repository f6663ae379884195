"""One Envoy with the service inside, as its supervisor starts it, without the supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from session_service.config import Config
from session_service.listen_address import free_address
from session_service.observability.exposition import share_metrics, shared_registry
from session_service.workers import EnvoyWorker

_STOP_SECONDS = 30.0


@contextlib.asynccontextmanager
async def in_envoy(config: Config) -> AsyncIterator[tuple[str, CollectorRegistry]]:
    """Serve around a block; gives the address and the metrics.

    Args:
        config: complete; where it listens on port 0, a free one takes its place.
    """
    listen = free_address(config.server.listen)
    config = config.model_copy(update={"server": config.server.model_copy(update={"listen": listen})})
    # Not pytest's tmp_path: a unix socket's path may have 104 to 108 bytes.
    with (
        tempfile.TemporaryDirectory(prefix="envoy-", dir="/tmp") as name,
        pytest.MonkeyPatch.context() as environment,
    ):
        directory = Path(name)
        environment.setenv("PROMETHEUS_MULTIPROC_DIR", "set by share_metrics, and taken back with this")
        share_metrics(directory)
        worker = EnvoyWorker(config, directory / "worker", share_port=False)
        try:
            address = await asyncio.to_thread(worker.address)
            assert address is not None, "Envoy did not start; its log is in the captured output"
            yield address, shared_registry(directory)
        finally:
            worker.obey(signal.SIGTERM)
            await asyncio.to_thread(worker.join, _STOP_SECONDS)
