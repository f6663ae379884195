"""Two users whose sessions begin, change and end by a plan that is drawn from a seed."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis

from tests.support.histories.acts import Acts, Held
from tests.support.histories.calls import Call
from tests.support.histories.client import Client
from tests.support.service_client import ServiceClient
from tests.support.waiting import until

SPAN: Final = 0.45
"""Seconds in which everything is begun."""

_STEPS: Final = 10
_USERS: Final = ("ada", "bob")
_FIRST_SESSIONS: Final = 2
_BRIEF: Final = 0.01


@dataclass(frozen=True, slots=True)
class Step:
    """Something that is done.

    Args:
        at: seconds from the begin.
        what: a key of ``DOINGS``.
        user: whose sessions it is about.
        pick: from 0 to 1, which of them, or how long.
    """

    at: float
    what: str
    user: int
    pick: float


Doing = Callable[[Acts, Held, float], Awaitable[object]]


async def _create(acts: Acts, _: Held, __: float) -> None:
    await acts.create()


async def _create_briefly(acts: Acts, _: Held, pick: float) -> None:
    """End it while the first checks are under way."""
    held = await acts.create()
    if held is not None:
        await until(time.monotonic() + (pick - 0.5) * _BRIEF)
        await acts.revoke_as_operator(held)


DOINGS: Final[dict[str, tuple[int, Doing]]] = {
    "create": (2, _create),
    "create briefly": (4, _create_briefly),
    "create for a while": (2, lambda acts, _, pick: acts.create_short("token", 0.05 + pick * SPAN)),
    "create a short one": (2, lambda acts, _, pick: acts.create_short("session", 0.05 + pick * SPAN)),
    "refresh": (4, lambda acts, held, _: acts.refresh(held)),
    "reuse": (1, lambda acts, held, _: acts.reuse(held)),
    "logout": (4, lambda acts, held, _: acts.logout(held)),
    "revoke": (1, lambda acts, held, _: acts.revoke(held)),
    "revoke as operator": (2, lambda acts, held, _: acts.revoke_as_operator(held)),
    "logout others": (1, lambda acts, held, _: acts.logout_all(held, keep=True)),
    "logout all": (1, lambda acts, held, _: acts.logout_all(held, keep=False)),
    "force out": (1, lambda acts, _, __: acts.force_out()),
    "disable": (1, lambda acts, _, __: acts.disable()),
    "set roles": (3, lambda acts, _, __: acts.set_roles()),
}
"""What can be done with a session, and how often it is."""


def plan(draw: random.Random) -> list[Step]:
    """What happens, and when."""
    weights = [weight for weight, _ in DOINGS.values()]
    return [
        Step(draw.uniform(0, SPAN), what, draw.randrange(len(_USERS)), draw.random())
        for what in draw.choices(list(DOINGS), weights, k=_STEPS)
    ]


class Life:
    """One history's users.

    Args:
        number: of the history in its world, for names.
        seed: of the plan.
        services: as ``Acts``.
        store: as ``Acts``.
        clients: as ``Acts``.
    """

    def __init__(
        self,
        number: int,
        seed: int,
        services: Sequence[ServiceClient],
        store: Redis,
        clients: Sequence[Client],
    ) -> None:
        self.number = number
        draw = random.Random(seed)  # noqa: S311 - a plan that can be repeated
        self.steps = plan(draw)
        self._users = [
            Acts(
                f"{number}/{name}",
                f"{number}-{name}",
                services=services,
                store=store,
                clients=clients,
                draw=draw,
            )
            for name in _USERS
        ]

    @property
    def calls(self) -> list[Call]:
        """What was done."""
        return [call for acts in self._users for call in acts.calls]

    async def live(self) -> None:
        """Do everything at its time, whatever else is still under way."""
        for acts in self._users:
            await acts.enter()
        await asyncio.gather(*(acts.create() for acts in self._users for _ in range(_FIRST_SESSIONS)))
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for step in self.steps:
                group.create_task(self._do(step, began))

    async def _do(self, step: Step, began: float) -> None:
        await until(began + step.at)
        acts = self._users[step.user]
        alive = [held for held in acts.held if not held.over]
        if not alive:
            await acts.create()
            return
        _, doing = DOINGS[step.what]
        await doing(acts, alive[int(step.pick * len(alive))], step.pick)
