"""Doubles for what answers gateways: a decision that was made before, and nobody who is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from session_service.domain.checks import Asked
from session_service.domain.models import Identity

ADA: Final = Identity("u-1", "s-1", "Żaneta", ("editor", "reader"), 1, 2, 3)


@dataclass
class Decision:
    """Decides as it is told to, and remembers what it was asked."""

    outcome: Identity | Exception | None
    question: tuple[str | None, ...] = ()
    looks_at_paths: bool = True

    def asked(self, *question: str | None) -> Asked:
        """What is to be checked."""
        self.question = question
        return None, 0.0, None

    async def outcome_of(self, _asked: Asked) -> Identity | None:
        """The decision."""
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class Told:
    """Is told of decisions that another test looks at."""

    def decided(self, protocol: str, outcome: str, count: int = 1) -> None:
        """Note nothing."""
