"""ServiceProcess: the service as users start it, to be called and broken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest
from session_api.v1 import admin_service_pb2, admin_service_pb2_grpc

from tests.support import ServiceProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support import RedisServer


def count_users(service: ServiceProcess) -> int:
    """Ask the service as an operator."""
    with grpc.insecure_channel(service.address) as channel:
        stub = admin_service_pb2_grpc.AdminServiceStub(channel)
        key = (("x-service-key", service.admin_key),)
        return stub.ListUsers(admin_service_pb2.ListUsersRequest(), metadata=key, timeout=5).total_size


def test_the_shared_service_answers_an_operator(service_process: ServiceProcess) -> None:
    """Address and admin key are those of a service that is ready."""
    assert count_users(service_process) == 0


def test_a_service_of_ones_own_stops_and_comes_back(start_service: Callable[..., ServiceProcess]) -> None:
    """SIGTERM ends it with code 0, and it starts again on the same address."""
    service = start_service()
    address = service.address
    assert service.stop() == 0
    assert not service.running
    service.start()
    assert service.address == address
    assert count_users(service) == 0


def test_workers_are_told_apart(start_service: Callable[..., ServiceProcess]) -> None:
    """With two workers, their ids are not their supervisor's."""
    service = start_service(None, "--workers", "2")
    assert len(set(service.worker_pids) - {service.pid}) == 2


def test_development_mode_makes_its_own(dev_service: ServiceProcess) -> None:
    """Development mode needs no Redis and no keys, and its admin key is known."""
    assert count_users(dev_service) == 1


def test_a_service_that_cannot_start_says_why(redis_server: RedisServer) -> None:
    """The error carries the service's own log."""
    service = ServiceProcess({"redis": {"prot": 1}})
    with pytest.raises(RuntimeError, match=r"did you mean redis\.port"):
        service.start()
    service.close()
    assert not service.directory.exists()
