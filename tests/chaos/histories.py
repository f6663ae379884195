"""Thousands of histories: ``python -m tests.chaos.histories --count 5000 --seed 1``.

Prints what was called, what broke, and every violation of the promise with the seed that leads to it again.
A seed repeats what is done and what breaks, and when; what overlaps with what is the machine's affair.
"""

from __future__ import annotations

import asyncio
import sys

import click

from tests.support import redis_binaries
from tests.support.engines import ENGINES
from tests.support.histories.faults import WITH_PROCESSES
from tests.support.histories.rounds import AT_ONCE, Rounds
from tests.support.histories.world import world

_REPORT_EVERY = 10


@click.command()
@click.option("--count", default=240, show_default=True, help="How many, rounded up to whole rounds.")
@click.option("--seed", default=1, show_default=True, help="Of the first; the others follow it.")
@click.option("--engine", type=click.Choice(ENGINES), default=ENGINES[0], show_default=True)
@click.option("--token-expire", default=1800, show_default=True, help="Seconds an access token lives.")
def main(count: int, seed: int, engine: str, token_expire: int) -> None:
    """Run histories and judge them; exit code 1 if one breaks the promise."""
    rounds = asyncio.run(_run(count, seed, engine, token_expire))
    click.echo(rounds.summary.text())
    sys.exit(bool(rounds.summary.violations))


async def _run(count: int, seed: int, engine: str, token_expire: int) -> Rounds:
    async with world(redis_binaries()[-1], engine, token_expire=token_expire) as here:
        rounds = Rounds(here, WITH_PROCESSES)
        for number, first in enumerate(range(seed, seed + count, AT_ONCE), start=1):
            await rounds.run(first)
            if number % _REPORT_EVERY == 0:
                summary = rounds.summary
                click.echo(f"{summary.histories} histories, {len(summary.violations)} violations", err=True)
        return rounds


if __name__ == "__main__":
    main()
