"""How much of everything: the whole run, and a short one that only shows that all of it works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes of a run.

    Args:
        tokens: distinct live tokens that checks go around.
        rounds: times that each pair of loads alternates.
        calls: calls of a load whose CPU is compared.
        seconds: length of a load whose throughput or latency is measured.
        logins: users that log in.
        sessions: live sessions of the full store.
        few_sessions: live sessions of the store it is compared with, and tokens checked in both.
        weighed: sessions whose memory is measured.
        sweeps: sweeps through the full store.
        lasting: checks after which memory is read.
        starts: times that a server is started.
        judged: whether figures are held against their bars.
    """

    tokens: int
    rounds: int
    calls: int
    seconds: float
    logins: int
    sessions: int
    few_sessions: int
    weighed: int
    sweeps: int
    lasting: int
    starts: int
    judged: bool


FULL = Scale(
    tokens=10_000,
    rounds=7,
    calls=10_000,
    seconds=3.0,
    logins=200,
    sessions=1_000_000,
    few_sessions=1_000,
    weighed=20_000,
    sweeps=3,
    lasting=1_000_000,
    starts=5,
    judged=True,
)

QUICK = Scale(
    tokens=500,
    rounds=1,
    calls=500,
    seconds=0.3,
    logins=20,
    sessions=5_000,
    few_sessions=500,
    weighed=1_000,
    sweeps=1,
    lasting=3_000,
    starts=1,
    judged=False,
)
