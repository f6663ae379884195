"""What only the verifier for threads has to stand: many threads. All else is in test_verifier_aio.py."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from session_api.v1 import session_service_pb2 as pb
from session_client import SessionClient, SessionClientError, TokenVerifier

from tests.support import eventually
from tests.support.clients import PATIENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.scripted_service import ScriptedService

THREADS = 8
ROUNDS = 500
TOKENS = [f"user{number}" for number in range(40)]


@pytest.fixture
def client(service: ScriptedService) -> Iterator[SessionClient]:
    """A client of the scripted service."""
    with SessionClient(service.target, timeouts=PATIENT) as opened:
        yield opened


def works(verifier: TokenVerifier) -> bool:
    """Wait until its stream has proven itself."""
    return eventually(lambda: verifier._watching.is_open and verifier._watching.was_confirmed)


def test_many_threads_while_everything_goes(client: SessionClient, service: ScriptedService) -> None:
    """Whatever is dropped, ended or interrupted meanwhile, whoever checks a token gets its identity."""
    service.script("VerifyToken", pb.VerifyTokenResponse(user_id="by call"))
    over = threading.Event()

    def check(verifier: TokenVerifier, first: int) -> None:
        for number in range(first, first + ROUNDS):
            token = TOKENS[number * 7 % len(TOKENS)]
            assert verifier.verify(token).user_id in {token, "by call"}

    def disturb() -> None:
        for number in itertools.count():
            if over.wait(0.01):
                return
            service.watches.last.invalidate(TOKENS[number % len(TOKENS)])
            if number % 10 == 0:
                service.watches.last.end()

    with TokenVerifier(client, max_staleness=60.0, max_tokens=30) as verifier, ThreadPoolExecutor(9) as pool:
        works(verifier)
        disturbing = pool.submit(disturb)
        checks = [pool.submit(check, verifier, first) for first in range(THREADS)]
        for done in checks:
            done.result()
        over.set()
        disturbing.result()
        assert len(verifier._watching._entries) <= 30
    assert len(service.watches.streams) > 1


def test_closing_ends_all_threads_that_wait(client: SessionClient, service: ScriptedService) -> None:
    """Each check that waits fails; none of them hangs."""
    service.watches.answers_verifies = False
    with TokenVerifier(client, max_staleness=60.0) as verifier, ThreadPoolExecutor(THREADS) as pool:
        works(verifier)
        checks = [pool.submit(verifier.verify, f"t{number}") for number in range(THREADS)]
        eventually(lambda: len(service.watches.last.verifies) == THREADS)
        verifier.close()
        for check in checks:
            with pytest.raises(SessionClientError, match="closed"):
                check.result(5)


def test_no_thread_is_left(client: SessionClient, service: ScriptedService) -> None:
    """After closing, neither the verifier's own thread nor gRPC's that sends for it is there."""
    client.verify_token("ann")
    before = set(threading.enumerate())

    def added() -> set[threading.Thread]:
        # The scripted service's own threads are in this process too.
        return {one for one in set(threading.enumerate()) - before if not one.name.startswith("ThreadPool")}

    with TokenVerifier(client) as verifier:
        works(verifier)
        verifier.verify("ann")
        assert verifier._thread in added()
    assert not verifier._thread.is_alive()
    eventually(lambda: not added())


def test_it_does_not_keep_a_program_from_ending(client: SessionClient) -> None:
    """Its thread is a daemon: whoever forgets to close it can still leave."""
    with TokenVerifier(client) as verifier:
        assert verifier._thread.daemon
