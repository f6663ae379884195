"""Which checks share a call, and when it leaves: the whole rule, without time, threads or network.

A check that comes while no call is out goes alone and at once. What comes while calls are out waits until
one of them returns, and leaves in one call, as TCP does with small writes (Nagle, RFC 896): the busier the
client, the more of them share one. None waits longer than ``LONGEST_WAIT`` for that: then its call leaves
beside those that are out, so that one call without an answer holds up no other check.

A check is never added to a call that has left. So its answer was read after it began: it is as strict as a
call of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeAlias, TypeVar, cast

import grpc
from session_api.v1 import session_service_pb2 as pb

from session_client import _batches
from session_client._conversions import identity_of
from session_client._errors import SessionClientError
from session_client._failures import FailedCall, failure_of, failure_of_check
from session_client._results import Identity
from session_client._verifying import too_late

LONGEST_WAIT: Final = 0.005
"""Seconds after which what waits is sent, whatever is out."""

SHORTEST_TIMEOUT: Final = 2 * LONGEST_WAIT
"""A check that has less time than this waits for nobody."""

MAX_OUT: Final = 64
"""Calls that may be out; beyond it, checks go alone, as without sharing."""

_FOR_ALL: Final = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
)
# An older service does not know BatchVerifyTokens; something before it may let only VerifyToken pass.
_FOR_GOOD: Final = frozenset(
    {
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
    }
)


@dataclass(frozen=True, slots=True)
class Refused:
    """A call that failed as a whole, as grpc raised it."""

    error: grpc.RpcError


class TooLate:
    """The check's own time is over."""


class Closed:
    """The client was closed during the call."""


TOO_LATE: Final = TooLate()
CLOSED: Final = Closed()

Outcome: TypeAlias = Identity | pb.CheckFailure | Refused | TooLate | Closed | None
"""What becomes of a check in a shared call; ``None``: it is to go alone."""


class Waiting(Protocol):
    """A check that waits."""

    @property
    def token(self) -> str:
        """What is checked."""


C = TypeVar("C", bound=Waiting)


class Sharing(Generic[C]):
    """Counts the calls that are out, and collects the checks of the next one."""

    def __init__(self) -> None:
        self.is_on = True
        self._out = 0
        self._waiting: list[C] = []
        self._room = _batches.MAX_BYTES

    @property
    def waiting(self) -> Sequence[C]:
        """The checks that the next call will be for."""
        return self._waiting

    def begin(self) -> bool:
        """Whether a check goes alone and at once; its call is then counted, until ``returned``."""
        if self._out:
            return False
        self._out = 1
        return True

    def has_room(self, token: str) -> bool:
        """Whether one check more fits into the next call."""
        return len(self._waiting) < _batches.MAX_TOKENS and len(token) + _batches.OVERHEAD <= self._room

    def add(self, check: C) -> None:
        """Let a check wait, for which there is room."""
        self._waiting.append(check)
        self._room -= len(check.token) + _batches.OVERHEAD

    def may_send(self) -> bool:
        """Whether a call may leave beside those that are out; it is then counted."""
        if self._out >= MAX_OUT:
            return False
        self._out += 1
        return True

    def take(self) -> list[C]:
        """The checks of a call that leaves, and has been counted."""
        taken, self._waiting, self._room = self._waiting, [], _batches.MAX_BYTES
        return taken

    def returned(self) -> None:
        """A call that was counted has returned."""
        self._out -= 1

    def leave(self, check: C) -> None:
        """Ask no more for a check that still waits."""
        self._waiting.remove(check)
        self._room += len(check.token) + _batches.OVERHEAD

    def failed(self, error: grpc.RpcError, asked: int) -> Outcome:
        """What a failed call means for each of the checks in it.

        Args:
            error: as grpc raised it.
            asked: how many tokens the call was for.
        """
        code = _told(error).code()
        if asked == 1 or code in _FOR_ALL:
            return Refused(error)
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED and failure_of(_told(error)).reason:
            return Refused(
                error
            )  # the service is overloaded; without a reason, the batch is too large for it
        # What is wrong with a batch says nothing of one of its tokens.
        self.is_on = self.is_on and code not in _FOR_GOOD
        return None


def outcomes(tokens: Sequence[str], answer: pb.BatchVerifyTokensResponse) -> dict[str, Outcome]:
    """The result of each token of a call; no results at all if one is missing."""
    if len(answer.results) != len(tokens):
        return dict.fromkeys(tokens)
    return {
        token: identity_of(result.verified) if result.HasField("verified") else result.failure
        for token, result in zip(tokens, answer.results, strict=True)
    }


def answered(outcome: Outcome) -> Identity | None:
    """The identity, or ``None`` if the check is to go alone.

    Raises:
        SessionClientError: the token is not accepted, or could not be checked. Made anew for each caller.
    """
    if outcome is None or isinstance(outcome, Identity):
        return outcome
    if isinstance(outcome, pb.CheckFailure):
        raise failure_of_check(outcome)
    if isinstance(outcome, Refused):
        raise failure_of(_told(outcome.error)) from outcome.error
    if isinstance(outcome, TooLate):
        raise too_late()
    raise SessionClientError("the client was closed during the call", code="CANCELLED")


def _told(error: grpc.RpcError) -> FailedCall:
    return cast(FailedCall, error)
