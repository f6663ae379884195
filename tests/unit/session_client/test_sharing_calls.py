"""Strict checks that are under way at once share calls: both clients, through real gRPC."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from session_api.v1 import session_service_pb2 as pb
from session_api.v1.error_reason_pb2 import ErrorReason
from session_client import (
    AsyncSessionClient,
    DeadlineExceeded,
    Identity,
    Overloaded,
    ServiceUnavailable,
    SessionClientError,
    SessionEnded,
    _sharing_aio,
    _sharing_threads,
)

from session_service.domain import errors
from tests.support import eventually_async
from tests.support.scripted_service import Refused, ScriptedService

if TYPE_CHECKING:
    from tests.support.clients import OpenClient

AWAY = Refused(grpc.StatusCode.UNAVAILABLE)


class Door:
    """Holds the calls of an RPC up until it is opened, and then answers each token by its own name."""

    def __init__(self, service: ScriptedService) -> None:
        self._service = service
        self._opened = threading.Event()
        service.script("VerifyToken", self._single)
        service.script("BatchVerifyTokens", self._batch)

    def open(self) -> None:
        """Let all pass."""
        self._opened.set()

    def _single(self) -> pb.VerifyTokenResponse:
        call = next(call for call in reversed(self._service.calls) if call.name == "VerifyToken")
        self._opened.wait()
        return pb.VerifyTokenResponse(username=call.request.token)

    def _batch(self) -> pb.BatchVerifyTokensResponse:
        return batch_of(self._service)


def batch_of(service: ScriptedService) -> pb.BatchVerifyTokensResponse:
    """An answer to the newest batch: a token is its user's name, unless it begins with a dash."""
    call = next(call for call in reversed(service.calls) if call.name == "BatchVerifyTokens")
    return pb.BatchVerifyTokensResponse(results=map(_result, call.request.tokens))


def _result(token: str) -> pb.TokenResult:
    if token.startswith("-"):
        reason = ErrorReason.ERROR_REASON_SESSION_ENDED
        return pb.TokenResult(failure=pb.CheckFailure(code=16, reason=reason, message="no"))
    return pb.TokenResult(verified=pb.VerifyTokenResponse(username=token))


@pytest.fixture(autouse=True)
async def threads() -> AsyncIterator[None]:
    """The synchronous client's calls need a thread each."""
    with ThreadPoolExecutor(300) as pool:
        asyncio.get_running_loop().set_default_executor(pool)
        yield


@pytest.fixture
def patiently(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing leaves before a call has returned, however slow the machine."""
    for module in (_sharing_aio, _sharing_threads):
        monkeypatch.setattr(module, "LONGEST_WAIT", 60.0)


@pytest.fixture
def door(service: ScriptedService) -> Iterator[Door]:
    """The way into the service, shut."""
    door = Door(service)
    yield door
    door.open()


async def begin(client: AsyncSessionClient, *tokens: str, **options: Any) -> list[asyncio.Future[Identity]]:
    """Begin checks, and wait until each waits."""
    begun: list[asyncio.Future[Identity]] = [
        asyncio.ensure_future(client.verify_token(token, **options)) for token in tokens
    ]
    await eventually_async(lambda: waiting(client) >= len(tokens))
    return begun


async def first(client: AsyncSessionClient, service: ScriptedService, token: str) -> asyncio.Future[Identity]:
    """Begin a check that goes alone, and wait until the service has it."""
    begun = asyncio.ensure_future(client.verify_token(token))
    await eventually_async(lambda: service.count("VerifyToken") == 1)
    return begun


def waiting(client: Any) -> int:
    """How many checks wait for a call to return."""
    return len(getattr(client, "_synchronous", client)._checks._sharing.waiting)


def said(outcomes: list[Identity | BaseException]) -> list[Any]:
    """Names of those who are logged in, classes of the errors of the others."""
    return [each.username if isinstance(each, Identity) else type(each) for each in outcomes]


@pytest.mark.usefixtures("patiently")
async def test_what_comes_meanwhile_shares_the_next_call(
    client: AsyncSessionClient, service: ScriptedService, door: Door
) -> None:
    """The first goes alone and at once; the others leave together, equal ones as one, each with an answer."""
    alone = await first(client, service, "a")
    others = await begin(client, "b", "-c", "d", "b")
    door.open()

    outcomes = await asyncio.gather(alone, *others, return_exceptions=True)
    assert said(outcomes) == ["a", "b", SessionEnded, "d", "b"]
    assert [call.name for call in service.calls] == ["VerifyToken", "BatchVerifyTokens"]
    assert sorted(service.calls[1].request.tokens) == ["-c", "b", "d"]
    assert service.calls[1].metadata.keys().isdisjoint({"authorization", "x-service-key"})


async def test_a_call_without_an_answer_holds_up_nobody(
    client: AsyncSessionClient, service: ScriptedService, door: Door
) -> None:
    """Others are sent beside it after a moment."""
    stuck = await first(client, service, "a")
    outcomes = await asyncio.gather(*(client.verify_token(token) for token in ("b", "c", "d")))
    assert said(list(outcomes)) == ["b", "c", "d"]
    assert not stuck.done()
    door.open()
    await stuck


@pytest.mark.usefixtures("patiently")
async def test_one_that_is_left_over_is_a_single_check(
    client: AsyncSessionClient, service: ScriptedService, door: Door
) -> None:
    """A call for one token is VerifyToken, which every service knows."""
    alone = await first(client, service, "a")
    others = await begin(client, "b", "b")
    door.open()
    assert said(await asyncio.gather(alone, *others)) == ["a", "b", "b"]
    assert service.count("VerifyToken") == 2


@pytest.mark.usefixtures("patiently")
async def test_a_service_that_is_away_is_so_for_each(
    client: AsyncSessionClient, service: ScriptedService, door: Door
) -> None:
    """The call is repeated as a single check is, and its failure is each caller's own."""
    service.script("BatchVerifyTokens", AWAY)
    alone = await first(client, service, "a")
    others = await begin(client, "b", "c")
    door.open()
    _, one, other = await asyncio.gather(alone, *others, return_exceptions=True)
    assert isinstance(one, ServiceUnavailable)
    assert isinstance(other, ServiceUnavailable)
    assert one is not other
    assert isinstance(one.__cause__, grpc.RpcError)
    assert service.count("BatchVerifyTokens") == 3
    assert service.count("VerifyToken") == 1


@pytest.mark.usefixtures("patiently")
async def test_an_overloaded_service_is_not_asked_again(
    client: AsyncSessionClient, service: ScriptedService, door: Door
) -> None:
    """Its refusal, and when to try again, is each caller's."""
    service.script("BatchVerifyTokens", errors.Overloaded(7.25))
    alone = await first(client, service, "a")
    others = await begin(client, "b", "c")
    door.open()
    outcomes = await asyncio.gather(alone, *others, return_exceptions=True)
    assert said(outcomes) == ["a", Overloaded, Overloaded]
    assert service.count("BatchVerifyTokens") == service.count("VerifyToken") == 1


@pytest.mark.parametrize("code", ["UNIMPLEMENTED", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED"])
@pytest.mark.usefixtures("patiently")
async def test_where_batches_do_not_pass_each_goes_alone(
    client: AsyncSessionClient, service: ScriptedService, door: Door, code: str
) -> None:
    """By an older service, or something before it; where that will not change, it is not tried again."""
    service.script("BatchVerifyTokens", Refused(grpc.StatusCode[code]))
    alone = await first(client, service, "a")
    others = await begin(client, "b", "c")
    door.open()
    outcomes = await asyncio.gather(alone, *others)
    assert sorted(said(list(outcomes))) == ["a", "b", "c"]
    assert service.count("VerifyToken") == 3
    await asyncio.gather(*(client.verify_token("d") for _ in range(5)))
    if code != "RESOURCE_EXHAUSTED":
        assert service.count("BatchVerifyTokens") == 1
        assert service.count("VerifyToken") == 8


@pytest.mark.usefixtures("patiently")
async def test_each_keeps_its_own_deadline(
    client: AsyncSessionClient, service: ScriptedService, door: Door
) -> None:
    """The call may take as long as the most patient of its callers; the others leave before."""
    over = threading.Event()

    def slow() -> pb.BatchVerifyTokensResponse:
        over.wait()
        return batch_of(service)

    service.script("BatchVerifyTokens", slow)
    alone = await first(client, service, "a")
    patient = await begin(client, "b", timeout=20)
    short = asyncio.ensure_future(client.verify_token("c", timeout=1))
    await eventually_async(lambda: waiting(client) == 2)
    door.open()
    with pytest.raises(DeadlineExceeded):
        await short
    assert not patient[0].done()
    over.set()
    assert said(await asyncio.gather(alone, *patient)) == ["a", "b"]
    assert 15 < service.calls[1].time_left < 21


async def test_closing_ends_those_that_wait(
    open_client: OpenClient, service: ScriptedService, door: Door, patiently: None
) -> None:
    """They fail as those under way do."""
    async with open_client(service.target) as client:
        begun = [await first(client, service, "a"), *await begin(client, "b", "c")]
    outcomes = await asyncio.gather(*begun, return_exceptions=True)
    for each in outcomes:
        assert isinstance(each, SessionClientError)
        assert each.code == "CANCELLED"
    door.open()


async def test_some_go_alone(open_client: OpenClient, service: ScriptedService, door: Door) -> None:
    """What may be answered from memory, what has no time to wait, and all where sharing is off."""
    async with open_client(service.target) as client:
        begun = [await first(client, service, "a")]
        begun += [asyncio.ensure_future(client.verify_token("b", max_staleness=1.0)) for _ in range(3)]
        await eventually_async(lambda: service.count("VerifyToken") == 4)
        with pytest.raises(DeadlineExceeded):
            await client.verify_token("c", timeout=0)
        async with open_client(service.target, share_calls=False) as other:
            before = service.count("VerifyToken")
            begun += [asyncio.ensure_future(other.verify_token("d")) for _ in range(3)]
            await eventually_async(lambda: service.count("VerifyToken") == before + 3)
            door.open()
            await asyncio.gather(*begun)
    assert service.count("BatchVerifyTokens") == 0


@pytest.mark.usefixtures("patiently")
async def test_as_many_as_fit_go_in_a_call(
    client: AsyncSessionClient, service: ScriptedService, door: Door
) -> None:
    """A call that is full leaves at once."""
    alone = await first(client, service, "a")
    others = [asyncio.ensure_future(client.verify_token(f"t{number}")) for number in range(270)]
    await eventually_async(lambda: sum(each.done() for each in others) >= 256, timeout=20)
    assert not alone.done()
    door.open()
    outcomes = await asyncio.gather(alone, *others)
    assert said(list(outcomes)) == ["a", *(f"t{number}" for number in range(270))]
    sizes = [len(call.request.tokens) for call in service.calls if call.name == "BatchVerifyTokens"]
    assert sizes[0] == 256
