"""Both verifiers, for asyncio and for threads, over a real stream whose other end the test writes."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import grpc
import pytest
from session_api.v1 import session_service_pb2 as pb
from session_client import (
    AsyncSessionClient,
    AsyncTokenVerifier,
    DeadlineExceeded,
    ServiceUnavailable,
    SessionClientError,
    SessionEnded,
    Timeouts,
    TokenInvalid,
    TokenMissing,
)

from tests.support import eventually_async
from tests.support.clients import PATIENT
from tests.support.scripted_service import Refused, ScriptedService
from tests.support.watching_model import failed, invalidated, pong, verified

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.verifiers import OpenedVerifier, OpenVerifier

BY_CALL = pb.VerifyTokenResponse(user_id="by call")
UNAVAILABLE = 14


@pytest.fixture(autouse=True)
def calls_tell_themselves_apart(service: ScriptedService) -> None:
    """An answer of VerifyToken shows that it is none of the stream's."""
    service.script("VerifyToken", BY_CALL)


@pytest.fixture
async def verifier(open_verifier: OpenVerifier, service: ScriptedService) -> AsyncIterator[OpenedVerifier]:
    """A verifier whose stream works and which stays fresh for longer than a test takes."""
    async with open_verifier(service.target, max_staleness=60.0) as opened:
        await opened.works()
        yield opened


async def who(verifier: OpenedVerifier, token: str) -> str:
    """The user that a token belongs to."""
    return (await verifier.verify(token)).user_id


async def waiting(verifier: OpenedVerifier, service: ScriptedService, token: str) -> asyncio.Task[str]:
    """A check that waits for an answer of the stream."""
    service.watches.answers_verifies = False
    task = asyncio.create_task(who(verifier, token))
    await eventually_async(lambda: service.watches.asked(token) == 1)
    return task


async def test_a_known_token_needs_no_call(verifier: OpenedVerifier, service: ScriptedService) -> None:
    """The first check goes over the stream, all others are answered from memory."""
    assert [await who(verifier, "ann") for _ in range(5)] == ["ann"] * 5
    assert service.watches.asked("ann") == 1
    assert not service.calls
    assert len(service.watches.last.pings) == 1


async def test_without_proof_each_check_is_a_call(
    open_verifier: OpenVerifier, service: ScriptedService
) -> None:
    """A stream that has never had a pong is not relied on, nor does it hold up a check."""
    service.watches.answers_pings = False
    async with open_verifier(service.target) as verifier:
        assert [await who(verifier, "ann") for _ in range(2)] == ["by call"] * 2
        assert service.watches.asked("ann") == 0


async def test_a_slow_pong_makes_checks_calls(open_verifier: OpenVerifier, service: ScriptedService) -> None:
    """Once the bound has passed without proof, checks are calls; with the pong, memory serves again."""
    async with open_verifier(service.target, max_staleness=0.3) as verifier:
        await verifier.works()
        service.watches.answers_pings = False

        async def by_call() -> bool:
            return await who(verifier, "ann") == "by call"

        await eventually_async(by_call)
        assert service.count("VerifyToken") == 1
        # The answer to a ping of long ago proves nothing; the next one is answered at once.
        service.watches.answers_pings = True
        service.watches.last.tell(pong(service.watches.last.pings[-1]))

        async def from_memory() -> bool:
            return not await by_call()

        await eventually_async(from_memory)


async def test_an_end_reaches_the_memory(verifier: OpenedVerifier, service: ScriptedService) -> None:
    """A token whose session has ended is asked about again, and refused."""
    await verifier.verify("ann")
    service.watches.refused.add("ann")
    service.watches.last.invalidate("ann")
    await eventually_async(lambda: not verifier.watching._entries)

    with pytest.raises(SessionEnded) as caught:
        await verifier.verify("ann")
    assert caught.value.reason == "SESSION_ENDED"
    assert caught.value.code == "UNAUTHENTICATED"


async def test_a_failure_is_not_remembered(verifier: OpenedVerifier, service: ScriptedService) -> None:
    """Each check of a token that is not accepted asks anew."""
    service.watches.refused.add("ann")
    for _ in range(2):
        with pytest.raises(SessionEnded):
            await verifier.verify("ann")
    assert service.watches.asked("ann") == 2
    service.watches.refused.clear()
    assert await who(verifier, "ann") == "ann"


async def test_an_end_may_overtake_the_answer(verifier: OpenedVerifier, service: ScriptedService) -> None:
    """An answer that comes after the word of its end is not remembered."""
    check = await waiting(verifier, service, "ann")
    stream = service.watches.last
    number = stream.verifies[0].id
    stream.tell(invalidated(number), verified(number, "ann"))

    assert await check == "ann"
    service.watches.answers_verifies = True
    await verifier.verify("ann")
    assert service.watches.asked("ann") == 2


async def test_checks_at_once_ask_once(verifier: OpenedVerifier, service: ScriptedService) -> None:
    """Of many checks of one token that is not known, one question goes out."""
    first = await waiting(verifier, service, "ann")
    others = [asyncio.create_task(who(verifier, "ann")) for _ in range(9)]
    service.watches.answers_verifies = True
    await who(verifier, "ben")
    service.watches.last.tell(verified(service.watches.last.verifies[0].id, "ann"))

    assert await asyncio.gather(first, *others) == ["ann"] * 10
    assert service.watches.asked("ann") == 1
    assert not service.calls


async def test_each_check_waits_for_its_own_time(verifier: OpenedVerifier, service: ScriptedService) -> None:
    """A check that has no more time fails as a call would; another one that waits goes on."""
    patient = await waiting(verifier, service, "ann")
    with pytest.raises(DeadlineExceeded) as caught:
        await verifier.verify("ann", timeout=0.05)
    assert caught.value.code == "DEADLINE_EXCEEDED"
    with pytest.raises(DeadlineExceeded):
        await verifier.verify("ann", timeout=0)
    service.watches.last.tell(verified(service.watches.last.verifies[0].id, "ann"))

    assert await patient == "ann"


async def test_a_store_that_is_away_for_a_moment(verifier: OpenedVerifier, service: ScriptedService) -> None:
    """Where the stream says that the store is away, a call is made, which is repeated."""
    service.script("VerifyToken", Refused(grpc.StatusCode.UNAVAILABLE), BY_CALL)
    check = await waiting(verifier, service, "ann")
    service.watches.last.tell(failed(service.watches.last.verifies[0].id, UNAVAILABLE))

    assert await check == "by call"
    assert service.count("VerifyToken") == 2


async def test_the_end_of_the_stream_ends_what_is_remembered(
    verifier: OpenedVerifier, service: ScriptedService
) -> None:
    """What was remembered before is asked for again on the next stream, which opens by itself."""
    await verifier.verify("ann")
    service.watches.last.end()
    await eventually_async(lambda: len(service.watches.streams) == 2)
    await verifier.works()

    assert await who(verifier, "ann") == "ann"
    assert len(service.watches.last.verifies) == 1


async def test_a_check_survives_the_end_of_the_stream(
    verifier: OpenedVerifier, service: ScriptedService
) -> None:
    """A check that waits for the stream's answer becomes a call when the stream ends."""
    check = await waiting(verifier, service, "ann")
    service.watches.last.end()

    assert await check == "by call"


async def test_a_stream_that_stalls_is_replaced(
    open_verifier: OpenVerifier, service: ScriptedService
) -> None:
    """A question unanswered for as long as a call may take ends the stream; another one opens."""
    timeouts = Timeouts(read=0.3, write=5)
    async with open_verifier(service.target, timeouts=timeouts, max_staleness=60.0) as verifier:
        await verifier.works()
        check = await waiting(verifier, service, "ann")
        with pytest.raises(DeadlineExceeded):
            await check
        await eventually_async(lambda: len(service.watches.streams) == 2)
        assert service.watches.streams[0].over.wait(5)


async def test_what_has_to_go_is_forgotten(open_verifier: OpenVerifier, service: ScriptedService) -> None:
    """Beyond the most tokens the service is told which answer is not remembered any more."""
    async with open_verifier(service.target, max_staleness=60.0, max_tokens=2) as verifier:
        await verifier.works()
        for token in ("ann", "ben", "ann", "eve"):
            await verifier.verify(token)
        ids = {verify.token: verify.id for verify in service.watches.last.verifies}
        await eventually_async(lambda: service.watches.last.forgotten == [ids["ben"]])


async def test_use_is_told_in_the_background(open_verifier: OpenVerifier, service: ScriptedService) -> None:
    """A token in use is checked again after a while; meanwhile and after it is answered from memory."""
    async with open_verifier(service.target, max_staleness=60.0, touch_interval=0.2) as verifier:
        await verifier.works()

        async def asked_twice() -> bool:
            assert await who(verifier, "ann") == "ann"
            return service.watches.asked("ann") == 2

        await eventually_async(asked_twice)
        first = service.watches.last.verifies[0].id
        await eventually_async(lambda: first in service.watches.last.forgotten)
        assert not service.calls


@pytest.mark.parametrize(
    ("token", "kind"), [("", TokenMissing), ("a b", TokenInvalid), ("x" * 8193, TokenInvalid)]
)
async def test_what_is_no_token_is_refused_at_sight(
    verifier: OpenedVerifier, service: ScriptedService, token: str, kind: type[Exception]
) -> None:
    """A stranger's nonsense costs no call and no question."""
    with pytest.raises(kind):
        await verifier.verify(token)
    assert not service.calls
    assert not service.watches.last.verifies


async def test_a_service_that_is_away_is_not_guessed(
    open_verifier: OpenVerifier, service: ScriptedService
) -> None:
    """Without the service nothing is accepted, however well a token was known; with it, all is well again."""
    async with open_verifier(service.target, max_staleness=60.0) as verifier:
        await verifier.works()
        await verifier.verify("ann")
        await asyncio.to_thread(service.stop)
        await eventually_async(lambda: not verifier.watching.is_open)
        with pytest.raises(ServiceUnavailable):
            await verifier.verify("ann")
        service.start()
        await eventually_async(lambda: len(service.watches.streams) == 2, timeout=15)
        await verifier.works()
        assert await who(verifier, "ann") == "ann"


async def test_a_service_too_old(
    open_verifier: OpenVerifier, service: ScriptedService, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the service does not know the RPC, all checks are calls, and a line of log says so."""
    service.watches.refuses_streams = grpc.StatusCode.UNIMPLEMENTED
    with caplog.at_level(logging.INFO, "session_client"):
        async with open_verifier(service.target) as verifier:
            await eventually_async(lambda: caplog.messages)
            assert await who(verifier, "ann") == "by call"
    assert len(caplog.messages) == 1
    assert "too old" in caplog.messages[0]


async def test_changes_of_state_are_logged_without_a_token(
    open_verifier: OpenVerifier, service: ScriptedService, caplog: pytest.LogCaptureFixture
) -> None:
    """Beginning, interruption and resumption are a line each; what was checked does not show."""

    def ours() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == "session_client"]

    with caplog.at_level(logging.DEBUG):
        async with open_verifier(service.target, max_staleness=60.0) as verifier:
            await verifier.works()
            await verifier.verify("SECRET")
            service.watches.last.end()
            await eventually_async(lambda: len(ours()) == 3)
    assert "SECRET" not in caplog.text
    assert "UNAVAILABLE" in ours()[1]


async def test_closing_ends_a_check_that_waits(open_verifier: OpenVerifier, service: ScriptedService) -> None:
    """It fails as a call of a client that is closed; later checks are a mistake; closing again is none."""
    async with open_verifier(service.target, max_staleness=60.0) as verifier:
        await verifier.works()
        await verifier.verify("ann")
        check = await waiting(verifier, service, "ben")
        await verifier.close()
        with pytest.raises(SessionClientError) as caught:
            await check
        assert caught.value.code == "CANCELLED"
        with pytest.raises(RuntimeError, match="the verifier is closed"):
            await verifier.verify("ann")
        await verifier.close()
    assert service.watches.last.over.wait(5)
    assert not service.calls


async def test_a_client_closed_too_early(open_verifier: OpenVerifier, service: ScriptedService) -> None:
    """Without its client a verifier accepts nothing and opens no stream; it can still be closed."""
    async with open_verifier(service.target, max_staleness=60.0) as verifier:
        await verifier.works()
        await verifier.verify("ann")
        check = await waiting(verifier, service, "ben")
        await verifier.close_client()
        with pytest.raises(SessionClientError) as caught:
            await check
        assert caught.value.code == "CANCELLED"
        with pytest.raises(RuntimeError, match="the client is closed"):
            await verifier.verify("ann")
    assert len(service.watches.streams) == 1


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        ("max_staleness", 0.0),
        ("max_staleness", 60.1),
        ("max_staleness", float("nan")),
        ("max_tokens", 0),
        ("touch_interval", 0.0),
        ("touch_interval", float("inf")),
    ],
)
async def test_limits(open_verifier: OpenVerifier, limit: str, value: float) -> None:
    """A setting that makes no sense is refused by name."""
    with pytest.raises(ValueError, match=limit):
        async with open_verifier("127.0.0.1:1", **{limit: value}):
            pass


async def test_a_cancelled_check_leaves_the_others(service: ScriptedService) -> None:
    """A task that is cancelled while it waits is so; those that wait for the same answer get it."""
    async with (
        AsyncSessionClient(service.target, timeouts=PATIENT) as client,
        AsyncTokenVerifier(client, max_staleness=60.0) as verifier,
    ):
        await eventually_async(lambda: verifier._watching.was_confirmed)
        service.watches.answers_verifies = False
        checks = [asyncio.create_task(verifier.verify("ann")) for _ in range(3)]
        await eventually_async(lambda: service.watches.asked("ann") == 1)
        checks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await checks[0]
        service.watches.last.tell(verified(service.watches.last.verifies[0].id, "ann"))
        assert {(await check).user_id for check in checks[1:]} == {"ann"}
        assert (await verifier.verify("ann")).user_id == "ann"


async def test_no_task_is_left(service: ScriptedService) -> None:
    """After closing, nothing of the verifier runs on."""
    before = asyncio.all_tasks()
    async with AsyncSessionClient(service.target, timeouts=PATIENT) as client:
        async with AsyncTokenVerifier(client) as verifier:
            await verifier.verify("ann")
        assert verifier._running.done()
        # gRPC takes a moment to tidy up after a call.
        await eventually_async(lambda: asyncio.all_tasks() <= before)


def test_a_verifier_without_a_loop() -> None:
    """Made outside an event loop, the verifier says so."""

    async def opened() -> AsyncSessionClient:
        return AsyncSessionClient("127.0.0.1:1")

    with asyncio.Runner() as runner:
        client = runner.run(opened())
        with pytest.raises(RuntimeError, match="no running event loop"):
            AsyncTokenVerifier(client)
        runner.run(client.close())
