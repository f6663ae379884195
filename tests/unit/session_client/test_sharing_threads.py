"""What only the threads' half has to stand: leaders that are interrupted, many threads, deadlines."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from session_api.v1 import session_service_pb2 as pb
from session_client import DeadlineExceeded, ServiceUnavailable, Timeouts, _sharing_threads
from session_client._sharing_threads import SharedChecks
from session_client._sync_calls import Calls

from tests.support import eventually

THREADS = 16
ROUNDS = 200


class Away(grpc.RpcError):
    """A failure that says nothing of a token."""

    def code(self) -> grpc.StatusCode:
        """The status."""
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        """The message."""
        return "away"

    def trailing_metadata(self) -> tuple[()]:
        """Nothing."""
        return ()


class Interrupted(BaseException):
    """What a signal's handler raises in the midst of things."""


class Service:
    """Both methods of a service that answers with the number of checks that had begun when it was asked."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self.begun = 0
        self.leaders: list[str] = []
        self._counting = threading.Lock()
        self.asked: list[int] = []
        self._meanwhile = meanwhile

    def begin(self) -> int:
        """A check begins; its number."""
        with self._counting:
            self.begun += 1
            return self.begun

    def VerifyToken(  # noqa: N802 - the API's name
        self, _: pb.VerifyTokenRequest, **__: Any
    ) -> pb.VerifyTokenResponse:
        """Check one."""
        return self._answer(1)

    def BatchVerifyTokens(  # noqa: N802
        self, request: pb.BatchVerifyTokensRequest, **__: Any
    ) -> pb.BatchVerifyTokensResponse:
        """Check several."""
        self.leaders.append(threading.current_thread().name)
        answer = pb.TokenResult(verified=self._answer(len(request.tokens)))
        return pb.BatchVerifyTokensResponse(results=[answer] * len(request.tokens))

    def _answer(self, tokens: int) -> pb.VerifyTokenResponse:
        now = self.begun
        self.asked.append(tokens)
        self._meanwhile()
        return pb.VerifyTokenResponse(user_id=str(now))


def checks_of(service: Any) -> SharedChecks:
    """Shared checks over a stand-in for the stub."""
    channel: Any = None
    return SharedChecks(service, Calls(channel, Timeouts(read=30)), is_on=True)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_fails_or_interrupts_everybody_is_answered(seed: int) -> None:
    """None by a call that left before it began, and afterwards the next check goes alone and at once."""
    draw = random.Random(seed)  # noqa: S311 - nothing secret
    never = threading.Event()

    def meanwhile() -> None:
        never.wait(draw.choice([0, 0, 0.0005, 0.002, 0.008]))
        chance = draw.random()
        if chance < 0.05:
            raise Away
        if chance < 0.1:
            raise Interrupted

    service = Service(meanwhile)
    checks = checks_of(service)

    def run() -> int:
        interruptions = 0
        for _ in range(ROUNDS):
            began = service.begin()
            try:
                identity = checks.verify(f"t{draw.randrange(20)}", 30.0)
            except ServiceUnavailable:
                continue
            except Interrupted:
                interruptions += 1
                continue
            assert int(identity.user_id) >= began
        return interruptions

    with ThreadPoolExecutor(THREADS) as pool:
        running = [pool.submit(run) for _ in range(THREADS)]
    assert sum(each.result() for each in running) > 0
    assert len(service.asked) < THREADS * ROUNDS
    assert not checks._sharing.waiting
    assert checks._leader is None
    assert checks._sharing.begin()


class Held:
    """A service that answers when it is let, and threads that check."""

    def __init__(self) -> None:
        self.let = threading.Event()
        self.service = Service(self._hold)
        self.checks = checks_of(self.service)
        self.interrupting = False

    def _hold(self) -> None:
        self.let.wait()
        if self.interrupting and self.service.asked[-1] > 1:
            self.interrupting = False
            raise Interrupted

    def begin(self, pool: ThreadPoolExecutor, waiting: int) -> list[Future[Any]]:
        """One check that is out, and some that wait for it."""
        begun = [pool.submit(self.checks.verify, "first", 30.0)]
        assert eventually(lambda: len(self.service.asked) == 1)
        begun += [pool.submit(self.checks.verify, f"t{number}", 30.0) for number in range(waiting)]
        assert eventually(lambda: len(self.checks._sharing.waiting) == waiting)
        return begun


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    """Nothing leaves before a call has returned, however slow the machine."""
    monkeypatch.setattr(_sharing_threads, "LONGEST_WAIT", 60.0)
    return Held()


def test_an_interrupted_leader_leaves_nobody_behind(held: Held) -> None:
    """Those for whom it made the call ask alone; it is the only one that is interrupted."""
    held.interrupting = True
    with ThreadPoolExecutor(THREADS) as pool:
        begun = held.begin(pool, 5)
        held.let.set()
        raised = [each.exception(timeout=20) for each in begun]
    assert sorted(type(each) is Interrupted for each in raised) == [False] * 5 + [True]
    assert [each for each in raised if each is not None and type(each) is not Interrupted] == []
    assert held.service.asked == [1, 5, 1, 1, 1, 1]
    assert held.checks._sharing.begin()


def test_one_that_waits_leaves_at_its_deadline(held: Held) -> None:
    """Nobody waits for a call to leave any longer than for its answer, and who has left is not asked for."""
    with ThreadPoolExecutor(THREADS) as pool:
        begun = held.begin(pool, 2)
        with pytest.raises(DeadlineExceeded):
            held.checks.verify("t9", 0.05)
        held.let.set()
        for each in begun:
            each.result(timeout=20)
    assert held.service.asked == [1, 2]


def test_who_has_most_time_leads(held: Held) -> None:
    """So the call may take as long as any of its callers may wait, and holds up none for longer than that."""
    patient = threading.Thread(target=held.checks.verify, args=("patient", 300.0), name="patient")
    with ThreadPoolExecutor(THREADS) as pool:
        begun = held.begin(pool, 2)
        patient.start()
        assert eventually(lambda: len(held.checks._sharing.waiting) == 3)
        begun.append(pool.submit(held.checks.verify, "t9", 30.0))
        assert eventually(lambda: len(held.checks._sharing.waiting) == 4)
        held.let.set()
        for each in begun:
            each.result(timeout=20)
    patient.join()
    assert held.service.asked == [1, 4]
    assert held.service.leaders == ["patient"]
