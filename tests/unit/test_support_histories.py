"""Histories can be repeated, and their clients look where it matters."""

from __future__ import annotations

import random
import time

from tests.support import eventually_async
from tests.support.histories import faults, life
from tests.support.histories.calls import Call, Effect, Outcome
from tests.support.histories.client import CheckingClient
from tests.support.histories.faults import EVERYWHERE
from tests.support.histories.rounds import Summary
from tests.support.histories.ways import Answer


class Way:
    """Accepts everything at once, and remembers when it was asked."""

    name = "sdk 20 ms"
    bound = 0.02
    burst = 1
    pause = 0.001

    def __init__(self) -> None:
        self.asked: list[tuple[str, float]] = []

    async def check(self, token: str) -> Answer:
        """Accept."""
        now = time.monotonic()
        self.asked.append((token, now))
        return Answer(now, now, Outcome.DONE, hit=True)


def test_a_seed_repeats_what_is_done_and_what_breaks() -> None:
    """The plans of one seed are equal, those of another are not."""
    for plan in (life.plan, lambda draw: faults.plan(draw, EVERYWHERE)):
        plans = [repr(plan(random.Random(seed))) for seed in (*range(20), *range(20))]  # noqa: S311
        assert plans[:20] == plans[20:]
        assert len(set(plans)) > 15


def test_only_what_is_given_breaks() -> None:
    """Faults that need processes are not planned where there are none."""
    planned = {each.what for seed in range(500) for each in faults.plan(random.Random(seed), EVERYWHERE)}  # noqa: S311
    assert planned == set(EVERYWHERE)


async def test_a_token_is_checked_until_it_is_collected() -> None:
    """Over and over, as a call with the way's name and bound."""
    way = Way()
    async with CheckingClient("one", [way]) as client:
        client.watch("1/ada/s1/t1", "token")
        await eventually_async(lambda: len(way.asked) > 5)
        calls = await client.collect()
        assert len(calls) > 5
        assert {(call.by, call.name, call.bound, call.hit) for call in calls} == {
            ("one sdk 20 ms", "1/ada/s1/t1", 0.02, True)
        }
        assert await client.collect() == []


async def test_what_has_ended_is_looked_at_as_soon_as_its_bound_has_passed() -> None:
    """A token that is no longer checked by chance is checked then."""
    way = Way()
    async with CheckingClient("one", [way]) as client:
        client.watch("1/ada/s1/t1", "token")
        client.watch("1/ada/s2/t1", "other")
        await eventually_async(lambda: {token for token, _ in way.asked} == {"token", "other"})
        ended = time.monotonic()
        client.hurry("1/ada/s1")
        client.forget("1/ada/s1")
        await eventually_async(lambda: way.asked[-1][1] > ended + 0.5)
    late = [moment - ended for token, moment in way.asked if token == "token" and moment > ended]
    assert [moment >= way.bound for moment in late] == [True, True]


def test_a_summary_tells_calls_by_way_and_outcome() -> None:
    """And how many were hits."""
    summary = Summary(histories=1)
    call = Call(
        what="check",
        by="near sdk 50 ms",
        effect=Effect.CHECK,
        name="1/ada/s1/t1",
        began=0,
        ended=1,
        outcome=Outcome.DONE,
        hit=True,
    )
    summary.add([call, call])
    assert summary.calls["sdk 50 ms", Outcome.DONE] == 2
    assert summary.hits["sdk 50 ms"] == 2
    assert "1 histories, 2 calls, 0 violations" in summary.text()
