"""Strict checks of all threads, several to a call where several are under way, by the rule of ``_sharing``.

There is no thread for it: one of those that wait leads, and makes the call for the others. That is the one
with the most time left, so that the call may take as long as any of them may wait, and the leader waits no
longer than it would for itself. What it holds (that it leads, the checks of its call) is written down before
it goes on: whatever interrupts it, ``_leave`` passes that on, and the others are answered.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Final

import grpc
from session_api.v1 import session_service_pb2 as pb
from session_api.v1.session_service_pb2_grpc import SessionServiceStub

from session_client._conversions import identity_of
from session_client._results import Identity
from session_client._sharing import (
    CLOSED,
    LONGEST_WAIT,
    SHORTEST_TIMEOUT,
    TOO_LATE,
    Outcome,
    Sharing,
    answered,
    outcomes,
)
from session_client._sync_calls import Calls


class _Check:
    """A check that waits for a call to leave or to return. What changes does so under the lock.

    ``led``: the checks of the call that it makes for all. ``taken``: it is in a call that leaves or has left.
    ``due``: when that is late.
    """

    __slots__ = ("deadline", "due", "led", "outcome", "settled", "taken", "token", "wake")

    def __init__(self, token: str, now: float, seconds: float) -> None:
        self.token: Final = token
        self.deadline: Final = now + seconds
        self.due = now + LONGEST_WAIT
        self.led: list[_Check] | None = None
        self.taken = False
        self.settled = False
        self.outcome: Outcome = None
        self.wake: Final[SimpleQueue[None]] = SimpleQueue()

    def settle(self, outcome: Outcome) -> None:
        """Answer it, unless that has been done."""
        if not self.settled:
            self.outcome = outcome
            self.settled = True
            self.wake.put(None)

    def sleep(self) -> None:
        """Wait until something becomes of it, or its time is up."""
        until = self.deadline if self.taken else min(self.due, self.deadline)
        with suppress(Empty):
            self.wake.get(timeout=max(0.0, until - monotonic()))


class SharedChecks:
    """Makes strict checks.

    Args:
        stub: of the client's channel.
        calls: of that channel.
        is_on: whether calls are shared at all.
    """

    def __init__(self, stub: SessionServiceStub, calls: Calls, *, is_on: bool) -> None:
        self._stub = stub
        self._calls = calls
        self._sharing: Sharing[_Check] = Sharing()
        self._sharing.is_on = is_on
        # Who is to make the next call, which is counted.
        self._leader: _Check | None = None
        # Of the kind that a signal's handler may take while its thread holds it.
        self._lock = threading.RLock()

    def verify(self, token: str, timeout: float | None) -> Identity:
        """Check a token, which may be one; raises what the client's ``verify_token`` does."""
        seconds = self._calls.read_timeout if timeout is None else timeout
        if not self._sharing.is_on or self._calls.closed or seconds < SHORTEST_TIMEOUT:
            return self._alone(token, seconds)
        begun = False
        try:
            with self._lock:
                begun = self._sharing.begin()
            if begun:
                return self._alone(token, seconds)
        finally:
            if begun:
                self._returned()
        check = _Check(token, monotonic(), seconds)
        identity = answered(self._outcome(check))
        return self._alone(token, max(0.0, check.deadline - monotonic())) if identity is None else identity

    def _alone(self, token: str, timeout: float) -> Identity:
        message = pb.VerifyTokenRequest(token=token)
        return identity_of(self._calls.read(self._stub.VerifyToken, message, (), timeout))

    def _outcome(self, check: _Check) -> Outcome:
        """Wait for what becomes of a check; if it comes to lead, make the call for all who wait."""
        try:
            self._wait(check)
            while not check.settled:
                check.sleep()
                if self._comes_to_lead(check):
                    self._settle(check, self._found(check))
        finally:
            if check.led is not None or not (check.settled and check.taken):
                self._leave(check)
        return check.outcome

    def _wait(self, check: _Check) -> None:
        """Let a check wait for the next call, if there is or can be made room in it."""
        with self._lock:
            if not self._sharing.has_room(check.token) and not self._depart():
                check.settle(None)
                return
            self._sharing.add(check)
            if self._leader is not None and check.deadline > self._leader.deadline + LONGEST_WAIT:
                self._leader = check
                check.wake.put(None)

    def _depart(self) -> bool:
        """Have the next call leave as it is, if one may leave."""
        leader = self._promoted()
        if leader is not None:
            leader.led = self._take()
        return leader is not None

    def _comes_to_lead(self, check: _Check) -> bool:
        """Look at what became of a check; whether it now leads the call for those in ``led``."""
        with self._lock:
            if self._leader is check:
                check.led = self._take()
            if check.led is not None:
                return True
            now = monotonic()
            if now >= check.deadline:
                check.settle(TOO_LATE)
            elif not check.taken and now >= check.due:
                check.due = now + LONGEST_WAIT
                self._hurry()
            return False

    def _hurry(self) -> None:
        """The time is up for what waits: have it sent, or where too much is out, let each go alone."""
        if self._promoted() is None:
            for check in self._take():
                check.settle(None)

    def _promoted(self) -> _Check | None:
        """Who is to make the next call, for which somebody waits; nobody if none may leave."""
        if self._leader is None and self._sharing.may_send():
            self._leader = max(self._sharing.waiting, key=lambda check: check.deadline)
            self._leader.wake.put(None)
        return self._leader

    def _take(self) -> list[_Check]:
        self._leader = None
        checks = self._sharing.take()
        for check in checks:
            check.taken = True
        return checks

    def _settle(self, leader: _Check, found: Mapping[str, Outcome]) -> None:
        """A call has returned: answer its checks, by their tokens, and let the next one leave."""
        with self._lock:
            checks, leader.led = leader.led or [], None
            for check in checks:
                check.settle(found.get(check.token))
            self._returned()

    def _returned(self) -> None:
        with self._lock:
            self._sharing.returned()
            if self._sharing.waiting:
                self._promoted()

    def _leave(self, check: _Check) -> None:
        """An interrupted check passes on what it holds, and waits no more."""
        with self._lock:
            if check in self._sharing.waiting:
                self._sharing.leave(check)
            if check.led is not None:
                self._settle(check, {})
            if self._leader is check:
                self._leader = None
                self._returned()

    def _found(self, leader: _Check) -> Mapping[str, Outcome]:
        """What becomes of each token of the call that a check leads."""
        checks = leader.led or []
        tokens = list(dict.fromkeys(check.token for check in checks if not check.settled))
        if not tokens:
            return {}
        if self._calls.closed:
            return dict.fromkeys(tokens, CLOSED)
        timeout = max(0.0, max(check.deadline for check in checks) - monotonic())
        try:
            if len(tokens) == 1:
                message = pb.VerifyTokenRequest(token=tokens[0])
                return {tokens[0]: identity_of(self._stub.VerifyToken(message, timeout=timeout))}
            request = pb.BatchVerifyTokensRequest(tokens=tokens)
            answer = self._stub.BatchVerifyTokens(request, timeout=timeout)
        except grpc.RpcError as error:
            return dict.fromkeys(tokens, self._sharing.failed(error, len(tokens)))
        return outcomes(tokens, answer)
