"""When checks leave: together, while others are out, and without a wake-up for each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from session_api.v1 import session_service_pb2 as pb

from session_service.rpc.batched import VERIFY_TOKEN
from tests.support.native_checks import Service
from tests.support.native_engine import FakeCall
from tests.support.waiting import eventually_async


def _check_of(token: str) -> Mapping[str, Any]:
    return {"path": VERIFY_TOKEN, "message": pb.VerifyTokenRequest(token=token).SerializeToString()}


def _many(service: Service) -> list[FakeCall]:
    """More than may be out while others go ahead."""
    return [service.fake.send(**_check_of(f"many {place}")) for place in range(17)]


async def test_what_comes_while_a_batch_is_out_is_the_next_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine is not listened to until the answers are there."""
    monkeypatch.setattr("session_service.engines.native.server._HELD_SECONDS", 60.0)
    async with Service(in_batches=True) as service:
        service.store.hold = asyncio.Event()
        first = _many(service)
        await eventually_async(lambda: service.store.trips == 1)
        later = []
        for place in range(5):
            later.append(service.fake.send(**_check_of(f"later {place}")))
            await asyncio.sleep(0)
        assert service.fake.takes == [17]
        service.store.hold.set()
        for call in (*first, *later):
            assert (await call.end()).status == (0, "")
        assert service.fake.takes == [17, 5]


async def test_while_few_are_out_others_go_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """They do not wait for answers that they have no part in."""
    monkeypatch.setattr("session_service.engines.native.server._HELD_SECONDS", 60.0)
    async with Service(in_batches=True) as service:
        hold = service.store.hold = asyncio.Event()
        first = service.fake.send(**_check_of("first"))
        await eventually_async(lambda: service.store.trips == 1)
        service.store.hold = None
        assert (await service.fake.send(**_check_of("second")).end()).status == (0, "")
        assert first.status is None
        hold.set()
        assert (await first.end()).status == (0, "")


async def test_a_slow_store_does_not_hold_up_what_comes_after() -> None:
    """After 2 ms the next batch goes, whether the one before it is back or not."""
    async with Service(in_batches=True) as service:
        hold = service.store.hold = asyncio.Event()
        first = _many(service)
        await eventually_async(lambda: service.store.trips == 1)
        service.store.hold = None
        assert (await service.fake.send(**_check_of("second")).end()).status == (0, "")
        assert first[0].status is None
        hold.set()
        for call in first:
            await call.end()


async def test_what_comes_during_a_batch_wakes_nobody_and_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked for once more before the next wait."""
    async with Service(in_batches=True) as service:
        begin = service.server._checks.begin  # type: ignore[union-attr]
        during: list[FakeCall] = []

        def begin_and_send(calls: Any) -> None:
            if not during:
                during.append(service.fake.send(**_check_of("during")))
            begin(calls)

        monkeypatch.setattr(service.server._checks, "begin", begin_and_send)
        assert (await service.fake.send(**_check_of("first")).end()).status == (0, "")
        assert (await during[0].end()).status == (0, "")
        assert service.fake.signals == 1


@pytest.mark.parametrize("part", ["take", "_serve"])
async def test_a_turn_that_fails_leaves_nobody_unheard(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """What comes after it is served: the engine does not stay hushed."""
    async with Service(in_batches=True) as service:
        owner: Any = service.fake if part == "take" else service.server
        works = getattr(owner, part)
        failures = iter([MemoryError()])

        def failing(*args: Any, **kwargs: Any) -> Any:
            for failure in failures:
                works(*args, **kwargs)
                raise failure
            return works(*args, **kwargs)

        monkeypatch.setattr(owner, part, failing)
        service.fake.send(**_check_of("lost"))
        await eventually_async(lambda: next(failures, None) is None)
        assert (await service.fake.send(**_check_of("later")).end()).status == (0, "")
