"""What Prometheus sees of a running service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
import redis
from session_api.v1 import admin_service_pb2 as admin_pb

from session_service.storage import keys
from tests.support import RedisServer, eventually_async
from tests.support.errors import fails
from tests.support.in_process import in_process
from tests.support.watching import watching

# Each test runs on both engines.
pytestmark = pytest.mark.usefixtures("engine")


async def test_round_trips_and_faults_are_counted(start_redis: Any, tmp_path: Path) -> None:
    """Reads and changes are timed by kind; without Redis they count as faults."""
    redis: RedisServer = start_redis()
    async with in_process({"host": "127.0.0.1", "port": redis.port}, tmp_path) as service:

        def value(name: str, **labels: str) -> float:
            return service.registry.get_sample_value(name, labels) or 0.0

        opened = await service.open_session()
        trips = "session_redis_round_trip_seconds_count"
        # A service in another process shows what it counted once a second.
        await eventually_async(lambda: value(trips, kind="script") >= 1)
        reads = value(trips, kind="read")
        await service.verify(opened.access_token)
        await eventually_async(lambda: value(trips, kind="read") == reads + 1)
        redis.kill()
        with fails(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE"):
            await service.verify(opened.access_token)
        with fails(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE"):
            await service.open_session()
        assert value("session_redis_faults_total", kind="read") >= 1
        assert value("session_redis_faults_total", kind="script") >= 1


async def test_events_sessions_and_sweeps_are_counted(redis_server: RedisServer, tmp_path: Path) -> None:
    """Events count as they happen and as they are written; a sweep sets the totals."""
    redis = {"host": "127.0.0.1", "port": redis_server.port}
    async with in_process(redis, tmp_path) as service:

        def value(name: str, **labels: str) -> float:
            return service.registry.get_sample_value(name, labels) or 0.0

        for _ in range(3):
            await service.open_session()
        await service.admin_stub.RevokeUserSessions(
            admin_pb.RevokeUserSessionsRequest(user_id="u-1"), metadata=service.admin
        )
        assert value("session_created_total") == 3
        assert value("session_ended_total") == 3
        assert value("session_events_total", action="session_created") == 3
        await eventually_async(lambda: value("session_audit_written_total") == 4)
        await eventually_async(lambda: value("session_sweeps_total") == 1)
        assert value("session_store_up") == 1


async def test_watched_answers_are_shown(redis_server: RedisServer, tmp_path: Path) -> None:
    """How many answers are watched now, until their client is gone."""
    redis = {"host": "127.0.0.1", "port": redis_server.port}
    async with in_process(redis, tmp_path) as service:

        def watched() -> float:
            return service.registry.get_sample_value("session_watched_answers") or 0.0

        async with watching(service) as stream:
            for number in range(3):
                await stream.verified(number, (await service.open_session()).access_token)
            await eventually_async(lambda: watched() == 3)
        await eventually_async(lambda: watched() == 0)


async def test_a_sweep_that_fails_is_not_the_last(
    redis_server: RedisServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """What is no index under an index's name fails a sweep, which is logged, and not those after it."""
    foreign = keys.session_index("foreign")
    at: dict[str, object] = {"host": "127.0.0.1", "port": redis_server.port}
    with redis.Redis(port=redis_server.port) as client:
        client.set(foreign, "no index")
        async with in_process(at, tmp_path, sweep={"interval": 0.05}) as service:

            def sweeps() -> float:
                return service.registry.get_sample_value("session_sweeps_total") or 0.0

            # The log of a service in another process is on its standard error.
            await eventually_async(lambda: "sweep failed" in caplog.text + capfd.readouterr().err)
            assert sweeps() == 0
            client.delete(foreign)
            await eventually_async(lambda: sweeps() > 0)
