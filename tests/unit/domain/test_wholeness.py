"""Changes are whole or not begun, whatever becomes of the caller."""

from __future__ import annotations

import asyncio

import pytest

from session_service.domain.wholeness import all_whole, whole


class Change:
    """A change in two steps, with a gate between."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.begun, self.gate = asyncio.Event(), asyncio.Event()

    async def run(self) -> str:
        """Both steps."""
        self.steps.append("stored")
        self.begun.set()
        await self.gate.wait()
        self.steps.append("audited")
        return "done"


async def test_a_caller_that_stays_gets_the_result() -> None:
    """The result and the error of a change reach its caller."""
    change = Change()
    change.gate.set()
    assert await whole(change.run()) == "done"

    async def fails() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await whole(fails())


async def test_a_change_goes_on_without_its_caller() -> None:
    """Cancelled between the steps, the caller is gone and the second step still happens."""
    change = Change()
    caller = asyncio.create_task(whole(change.run()))
    await change.begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert change.steps == ["stored"]
    change.gate.set()
    await all_whole()
    assert change.steps == ["stored", "audited"]


async def test_an_orderly_stop_waits_for_changes_under_way() -> None:
    """``all_whole`` ends after the last change, also one that fails unseen."""
    gate = asyncio.Event()

    async def fails() -> None:
        await gate.wait()
        raise ValueError("seen by nobody")

    caller = asyncio.create_task(whole(fails()))
    await asyncio.sleep(0)
    caller.cancel()
    stop = asyncio.create_task(all_whole())
    await asyncio.sleep(0)
    assert not stop.done()
    gate.set()
    await stop
