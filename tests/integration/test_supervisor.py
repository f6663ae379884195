"""Several workers on one port, and the process that looks after them."""

from __future__ import annotations

import os
import signal
import urllib.request
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support import (
    LOOPBACK,
    RedisServer,
    ServiceProcess,
    eventually,
    eventually_async,
    free_port,
    redis_binaries,
)
from tests.support.processes import alive
from tests.support.service_client import connect

# Each test runs on both engines.
pytestmark = pytest.mark.usefixtures("engine")

Start = Callable[..., ServiceProcess]
TWO = ("--workers", "2")


def total(address: str, name: str, **labels: str) -> float:
    """The sum of the samples of this name and labels at a metrics endpoint."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def checks_counted(address: str) -> float:
    """How many VerifyToken calls were counted, whatever came of them."""
    method = "session.v1.SessionService/VerifyToken"
    return total(address, "session_rpc_duration_seconds_count", method=method)


async def checked(service: ServiceProcess, connections: int) -> None:
    """Check a token once over each of so many connections of their own."""
    async with connect(service.address, service.admin_key) as client:
        token = (await client.open_session()).access_token
    for _ in range(connections):
        async with connect(service.address, service.admin_key) as client:
            await client.verify(token)


def test_ready_means_that_every_worker_serves(start: Start) -> None:
    """The one line `ready` comes after each worker's `serving`, all at one address."""
    service = start(*TWO)

    serving = service.events("serving")
    assert len({event["pid"] for event in serving}) == 2
    assert {event["address"] for event in serving} == {service.address}
    assert [event["pid"] for event in service.events("ready")] == [service.pid]
    assert service.pid not in service.worker_pids


async def test_a_worker_that_dies_is_replaced(start: Start) -> None:
    """Another takes its place, and is as good as the first."""
    service = start(*TWO)
    first, second = service.worker_pids
    os.kill(first, signal.SIGKILL)

    [event] = eventually(lambda: service.events("worker ended"))
    assert (event["pid"], event["exit_code"]) == (first, -signal.SIGKILL)
    eventually(lambda: len(service.worker_pids) == 3, timeout=20)
    assert not alive(first)
    assert alive(second)
    await checked(service, connections=8)
    assert service.stop() == 0


async def test_the_metrics_are_those_of_all_workers(start: Start) -> None:
    """The endpoint sums over the workers, and keeps what a dead one has counted."""
    metrics = f"{LOOPBACK}:{free_port()}"
    service = start(*TWO, metrics={"listen": metrics})
    await checked(service, connections=16)
    await eventually_async(lambda: checks_counted(metrics) == 16)

    os.kill(service.worker_pids[0], signal.SIGKILL)
    eventually(lambda: len(service.worker_pids) == 3, timeout=20)
    assert checks_counted(metrics) == 16


def test_what_a_dead_worker_last_saw_is_forgotten(start: Start) -> None:
    """A worker that died while Redis was away does not go on saying so."""
    metrics = f"{LOOPBACK}:{free_port()}"
    with RedisServer(redis_binaries()[0]) as redis:
        service = start(*TWO, redis={"url": redis.url}, metrics={"listen": metrics})
        redis.pause()
        eventually(lambda: total(metrics, "session_store_up") == 0, timeout=20)
        os.kill(service.worker_pids[0], signal.SIGKILL)
        redis.resume()

        eventually(lambda: len(service.worker_pids) == 3, timeout=20)
        eventually(lambda: total(metrics, "session_store_up") == 1, timeout=20)


async def test_every_worker_reads_the_keys_again(start: Start) -> None:
    """SIGHUP to the first process reaches all: each signs with the new key, and none refuses it."""
    service = start(*TWO)
    assert service.run("keys", "rotate", str(service.key_file)).returncode == 0
    service.signal(signal.SIGHUP)
    eventually(lambda: len(service.events("keys read again")) == 2)

    assert {event["pid"] for event in service.events("keys read again")} == set(service.worker_pids)
    kids = set()
    for _ in range(8):
        async with connect(service.address, service.admin_key) as client:
            token = (await client.open_session()).access_token
            kids.add(jwt.get_unverified_header(token)["kid"])
        async with connect(service.address, service.admin_key) as client:
            await client.verify(token)
    assert len(kids) == 1


def test_a_worker_bears_the_signal_while_it_starts(start: Start) -> None:
    """SIGHUP to a worker that cannot answer to it yet waits, and does not end it."""
    service = start(*TWO)
    os.kill(service.worker_pids[0], signal.SIGKILL)
    eventually(lambda: service.events("worker ended"))

    def replaced() -> bool:
        service.signal(signal.SIGHUP)
        return len(service.worker_pids) == 3

    eventually(replaced, timeout=20)
    assert len(service.events("worker ended")) == 1


def test_workers_do_not_outlive_their_supervisor(start: Start) -> None:
    """Where the first process is killed, the workers drain and end."""
    service = start(*TWO)
    workers = service.worker_pids
    service.kill()

    eventually(lambda: not any(map(alive, workers)), timeout=20)
    assert len(service.events("draining")) == 2


def test_all_end_in_order(start: Start) -> None:
    """SIGTERM to the first process drains every worker, and it ends last, with code 0."""
    service = start(*TWO)

    assert service.stop() == 0
    assert not any(map(alive, service.worker_pids))
    assert len(service.events("draining")) == 2
    assert "Traceback" not in service.log()


def test_ctrl_c_ends_all_in_order(start: Start) -> None:
    """A terminal sends SIGINT to every process at once: it ends as well as by SIGTERM."""
    service = start(*TWO)
    os.killpg(service.pid, signal.SIGINT)

    assert service.wait() == 0
    assert not any(map(alive, service.worker_pids))
    assert "Traceback" not in service.log()


def test_a_worker_that_cannot_start_is_told(start: Start) -> None:
    """What ends a worker before it serves ends the service, with exit code 1 and no process left."""
    sections: dict[str, Any] = {"passwords": {"common_list": "/none"}}
    service = ServiceProcess({"redis": {"host": LOOPBACK}} | sections)
    try:
        ended = service.run("serve", *TWO)
    finally:
        service.close()

    assert ended.returncode == 1
    assert "/none" in ended.stderr
