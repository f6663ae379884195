"""The promise of every way of checking, in histories of many clients while everything breaks.

``python -m tests.chaos.histories --count 5000`` runs as many more as wanted.
"""

from __future__ import annotations

import pytest

from tests.support import RedisBinary
from tests.support.engines import ENGINES
from tests.support.histories.calls import Outcome
from tests.support.histories.faults import WITH_PROCESSES
from tests.support.histories.rounds import AT_ONCE, Rounds
from tests.support.histories.world import world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

WAYS = (
    "strict",
    "shared strict",
    "shared threads",
    "memory 50 ms",
    "memory 1000 ms",
    "sdk 50 ms",
    "sdk 1000 ms",
    "threads 50 ms",
)


@pytest.mark.parametrize(
    ("engine", "token_expire", "rounds"),
    [(ENGINES[0], 1800, 4), (ENGINES[1], 1800, 4), (ENGINES[0], 1, 4)],
    ids=["grpc-aio", "native", "short-lived tokens"],
)
async def test_every_history_keeps_the_promise(
    one_binary: RedisBinary, engine: str, token_expire: int, rounds: int
) -> None:
    """Out means out and in means in, within every bound; and memory did answer, or nothing was tried."""
    async with world(one_binary, engine, token_expire=token_expire) as here:
        run = Rounds(here, WITH_PROCESSES)
        for seed in range(1, 1 + rounds * AT_ONCE, AT_ONCE):
            await run.run(seed)
    summary = run.summary
    assert not summary.violations, summary.text()
    for way in WAYS:
        assert summary.calls[way, Outcome.DONE], summary.text()
        assert summary.calls[way, Outcome.REFUSED], summary.text()
    assert summary.hits["sdk 50 ms"], summary.text()
    assert summary.hits["sdk 1000 ms"], summary.text()
