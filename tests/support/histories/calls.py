"""What a history is made of: calls, each with its begin and its end on one clock.

What calls are about has a path for its name: history, user, session, token, such as ``7/ada/s2/t1``. What
ends or changes several names what they have in common: ``7/ada`` all sessions of a user, ``""`` everything.
No name tells anything of a token's text.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

EVERYTHING = ""


class Effect(StrEnum):
    """What a call does, if it is done."""

    CHECK = "check"
    """Tells whether what it names is alive."""
    MAKE = "make"
    """Begins what it names."""
    END = "end"
    """Ends what it names, with all below it but ``spares``."""
    SET_ROLES = "set roles"
    """Gives a user the roles of ``version``."""


class Outcome(StrEnum):
    """How a call came out."""

    DONE = "done"
    """A check accepted; of all else the effect was acknowledged."""
    REFUSED = "refused"
    """The credential is not, or no longer, good."""
    UNKNOWN = "unknown"
    """No answer, or that none can be given; an effect may have been, and may still come."""
    BROKEN = "broken"
    """An answer that must never be given, such as INTERNAL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call, or what is as good as one: a fault that ends sessions, an expiry.

    Args:
        what: for people: ``logout``, ``FLUSHALL``.
        by: who made it, and how.
        effect: what it does.
        name: what it is about.
        began: before it was sent; seconds of ``time.monotonic``, which all processes of a machine share.
        ended: after its answer was there, or it was given up.
        outcome: how it came out.
        bound: seconds by which the answer of a check may be out of date.
        spares: what an end leaves alive below ``name``.
        version: of the roles that were set, or that a check answered with; ``None`` where they are unknown.
        hit: whether a check is known to have been answered from its own process's memory.
        detail: what the answer said, where it was not good.
    """

    what: str
    by: str
    effect: Effect
    name: str
    began: float
    ended: float
    outcome: Outcome
    bound: float = 0.0
    spares: str | None = None
    version: int | None = None
    hit: bool = False
    detail: str = ""


def is_within(name: str, whole: str) -> bool:
    """Whether a name is this one or below it."""
    return whole in (EVERYTHING, name) or name.startswith(f"{whole}/")


def session_of(name: str) -> str:
    """The session of a token, or of itself."""
    return "/".join(name.split("/")[:3])


def user_of(name: str) -> str:
    """The user of a session or a token."""
    return "/".join(name.split("/")[:2])
