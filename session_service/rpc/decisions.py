"""Who is told of each decision for a gateway.

A denied request is an answer like any other to the boundary, so decisions are counted by themselves.
"""

from __future__ import annotations

import logging
from typing import Final, Protocol

from session_service.domain.errors import SessionServiceError
from session_service.domain.models import Identity
from session_service.rpc.status import coded

_ALLOWED: Final = "ALLOWED"
_PUBLIC: Final = "PUBLIC"

log = logging.getLogger(__name__)


class DecisionObserver(Protocol):
    """Told of every decision."""

    def decided(self, protocol: str, outcome: str, count: int = 1) -> None:
        """Note so many decisions: ``outcome`` is ``ALLOWED``, ``PUBLIC``, or the reason of the denial."""


class Decisions:
    """Tells an observer, and the log where something unforeseen was raised.

    Args:
        observer: told of each.
        protocol: by which gateways ask, ``envoy`` or ``http``.
    """

    def __init__(self, observer: DecisionObserver, protocol: str) -> None:
        self._decided = observer.decided
        self._protocol = protocol

    def passed(self, identity: Identity | None) -> None:
        """Note a request that was let through."""
        self._decided(self._protocol, _PUBLIC if identity is None else _ALLOWED)

    def allowed(self, count: int) -> None:
        """Note so many requests that were let through for whose they were."""
        self._decided(self._protocol, _ALLOWED, count)

    def denied(self, error: Exception) -> None:
        """Note one that was not."""
        if not isinstance(error, SessionServiceError):
            log.error("authorization failed", exc_info=error)
        known, _ = coded(error)
        self._decided(self._protocol, known.reason)
