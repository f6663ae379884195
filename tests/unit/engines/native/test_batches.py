"""Checks in batches: each call is answered as its servicer would answer it alone."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Mapping
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from session_api.v1 import session_service_pb2 as pb

from session_service.domain.checks import Asked
from session_service.domain.errors import StoreUnavailable
from session_service.domain.models import LiveState
from session_service.engines.native import checks
from session_service.engines.native.surface import HTTP
from session_service.rpc import requests
from session_service.rpc.batched import CHECK, VERIFY_TOKEN
from session_service.rpc.envoy_auth import external_auth_pb2
from tests.support.native_checks import NAMES, NOW, Observer, Service
from tests.support.native_engine import FakeCall
from tests.support.waiting import eventually_async


def _verify(token: str, **more: Any) -> Mapping[str, Any]:
    request = pb.VerifyTokenRequest(token=token)
    staleness = more.pop("staleness", None)
    if staleness is not None:
        request.max_staleness.FromNanoseconds(round(staleness * 10**9))
    return {"path": VERIFY_TOKEN, "message": request.SerializeToString(), **more}


def _check(target: str = "/x", role: str | None = None, **headers: str) -> Mapping[str, Any]:
    request = external_auth_pb2.CheckRequest()
    request.attributes.request.http.path = target
    request.attributes.request.http.headers.update(headers)
    if role is not None:
        request.attributes.context_extensions["role"] = role
    return {"path": CHECK, "message": request.SerializeToString()}


def _authz(token: str | None, query: str = "", target: bytes = b"/x") -> Mapping[str, Any]:
    fields = [(b"x-original-uri", target)]
    if token is not None:
        fields.append((b"authorization", f"Bearer {token}".encode()))
    return {"path": "/authz", "kind": HTTP, "verb": "GET", "query": query, "fields": fields}


def _rest(body: str, *fields: tuple[bytes, bytes], **more: Any) -> Mapping[str, Any]:
    return {"path": "/v1/token:verify", "kind": HTTP, "message": body.encode(), "fields": fields, **more}


WAYS: Final = ("in_batches", "singly")
_BEARER: Final = (b"authorization", b"Bearer good")
CASES: Final[list[Mapping[str, Any]]] = [
    *(_verify(name) for name in NAMES),
    *(_verify(name, staleness=5) for name in NAMES),
    _verify(""),
    _verify("", fields=[_BEARER]),
    _verify("", staleness=5, fields=[_BEARER]),
    _verify("", fields=[_BEARER, _BEARER]),
    _verify("", fields=[(b"authorization", b"Basic abc")]),
    _verify("good", staleness=61),
    _verify("good", staleness=-1),
    {"path": VERIFY_TOKEN, "message": b"\xff\xff"},
    {"path": VERIFY_TOKEN, "message": b"\x0a\x02\xff\xff"},
    {"path": VERIFY_TOKEN, "message": b"x" * 1001},
    _verify("good", fault=("malformed_request", "cut off")),
    *(_check(authorization=f"Bearer {name}") for name in NAMES),
    _check(),
    _check("/public"),
    _check("/public", role="editor"),
    _check(authorization="Bearer good", role="editor"),
    _check(authorization="Bearer good", role="admin"),
    _check(authorization="Bearer good", role=""),
    _check(authorization="Basic abc"),
    {"path": CHECK, "message": b"\xff\xff"},
    *(_authz(name) for name in NAMES),
    _authz(None),
    _authz(None, target=b"/public"),
    _authz("good", "role=editor"),
    _authz("good", "role=admin"),
    _authz("good", "rolle=admin"),
    *(_rest(f'{{"token": "{name}"}}') for name in NAMES),
    *(_rest(f'{{"token": "{name}", "maxStaleness": "5s"}}') for name in NAMES),
    _rest("{}"),
    _rest("{}", _BEARER),
    _rest("{}", _BEARER, (b"origin", b"https://a.example")),
    _rest("{}", _BEARER, _BEARER),
    _rest('{"token": "good", "maxStaleness": "61s"}'),
    _rest('{"token": "good", "more": 1}'),
    _rest("["),
    _rest("{}", verb="GET"),
    _rest("{}", verb="OPTIONS"),
    _rest("{}", fault=("message_too_large", "too large")),
]


def _answer(call: FakeCall) -> Any:
    return call.status, call.pieces, call.trailers, call.initial, call.http_status


async def _alone(case: Mapping[str, Any]) -> tuple[Any, Observer]:
    async with Service(in_batches=False) as service:
        return _answer(await service.fake.send(**case).end()), service.observer


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_batch_answers_as_the_servicer_does(case: Mapping[str, Any]) -> None:
    """Message, status, details and header fields are the same, and so is what is counted."""
    alone, counted = await _alone(case)
    async with Service(in_batches=True) as service:
        together = [service.fake.send(**case) for _ in range(3)]
        answers = [_answer(await call.end()) for call in together]
    assert answers == [alone] * 3
    assert service.observer.reasons == counted.reasons * 3
    assert service.observer.decisions == counted.decisions * 3


@pytest.fixture(scope="module")
def expected() -> list[Any]:
    """The answer to each case, alone."""

    async def ask() -> list[Any]:
        return [(await _alone(case))[0] for case in CASES]

    return asyncio.run(ask())


@settings(deadline=None, max_examples=40)
@given(mix=st.lists(st.integers(0, len(CASES) - 1), min_size=1, max_size=90))
def test_any_mix_gives_each_call_its_own_answer(mix: list[int], expected: list[Any]) -> None:
    """Neighbours change nothing, whatever they are."""

    async def ask() -> list[Any]:
        async with Service(in_batches=True) as service:
            calls = [service.fake.send(**CASES[place]) for place in mix]
            return [_answer(await call.end()) for call in calls]

    assert asyncio.run(ask()) == [expected[place] for place in mix]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_repetition_is_answered_as_the_first(case: Mapping[str, Any], way: str) -> None:
    """What is remembered of a request, its token and its answer changes nothing."""
    alone, counted = await _alone(case)
    async with Service(**{way: True}) as service:
        answers = [_answer(await service.fake.send(**case).end()) for _ in range(3)]
    assert answers == [alone] * 3
    assert service.observer.reasons == counted.reasons * 3
    assert service.observer.decisions == counted.decisions * 3


_SAME_ROLES: Final = LiveState("good", "name of good", ("editor",), NOW * 1000, NOW * 1000 + 10**7)
_CHANGES: Final[list[LiveState | Exception | None]] = [
    None,
    StoreUnavailable(),
    ValueError("no number"),
    _SAME_ROLES._replace(token_session_id=None),
    _SAME_ROLES._replace(token_session_id="another"),
    _SAME_ROLES._replace(roles=()),
    _SAME_ROLES._replace(roles=("admin",)),
    _SAME_ROLES._replace(username="another"),
    _SAME_ROLES._replace(expires_ms=NOW * 1000 + 10**6),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("state", _CHANGES, ids=repr)
@pytest.mark.parametrize(
    "case",
    [
        _verify("good"),
        _check(authorization="Bearer good"),
        _check(authorization="Bearer good", role="editor"),
        _authz("good"),
        _authz("good", "role=editor"),
        _rest('{"token":"good"}'),
    ],
    ids=["verify", "check", "check role", "authz", "authz role", "rest"],
)
async def test_what_the_store_says_now_decides(
    case: Mapping[str, Any], state: LiveState | Exception | None, way: str
) -> None:
    """A remembered answer is not given once the store says something else, and is right again after that."""
    async with Service(in_batches=False) as service:
        service.store.states["good"] = state
        changed = _answer(await service.fake.send(**case).end())
    async with Service(**{way: True}) as service:
        first = _answer(await service.fake.send(**case).end())
        before = service.store.states["good"]
        service.store.states["good"] = state
        assert _answer(await service.fake.send(**case).end()) == changed
        service.store.states["good"] = before
        assert _answer(await service.fake.send(**case).end()) == first


async def test_a_refused_token_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is its request, nor one that is long: so nobody fills the memory with what is not a token's."""
    monkeypatch.setattr(requests, "_REMEMBERED", 2)
    monkeypatch.setattr(requests, "_LONGEST", 500)
    async with Service(in_batches=True) as service:
        kind: Any = service.server._paths["/v1/token:verify"][0]
        for name in ("forged", "expired", "ended", "away", "odd", "long" * 140):
            await service.fake.send(**_rest(f'{{"token": "{name}"}}')).end()
        assert not kind._remembered._asked
        for name in ("good", "other", "third"):
            await service.fake.send(**_rest(f'{{"token": "{name}"}}')).end()
        assert [asked for asked, _, _ in kind._remembered._asked.values()] == ["other", "third"]


@pytest.mark.parametrize("way", WAYS)
async def test_only_a_request_that_names_its_good_token_and_a_bound_is_remembered(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bytes with another token in the metadata ask about that one."""
    kept: list[Asked] = []
    monkeypatch.setattr(requests.Requests, "keep", lambda _, new: kept.append(new.asked))
    async with Service(**{way: True}) as service:
        for case in (
            *map(_verify, NAMES),
            *(_verify(name, staleness=5) for name in ("forged", "ended", "odd")),
        ):
            await service.fake.send(**case).end()
        for name in ("good", "other"):
            fields = [(b"authorization", f"Bearer {name}".encode())]
            call = await service.fake.send(**_verify("", staleness=5, fields=fields)).end()
            assert pb.VerifyTokenResponse.FromString(call.pieces[0]).session_id == name
        assert not kept
        await service.fake.send(**_verify("good", staleness=5)).end()
        assert kept == [("good", 5.0, None)]


async def test_a_batch_is_one_trip() -> None:
    """However many calls wait, of whatever method."""
    async with Service(in_batches=True) as service:
        calls = [service.fake.send(**_verify(f"token {place}")) for place in range(60)]
        calls += [service.fake.send(**_check(authorization="Bearer good")) for _ in range(20)]
        calls += [service.fake.send(**_authz("good")) for _ in range(20)]
        for call in calls:
            await call.end()
        assert service.store.trips == 1
        assert service.fake.takes[0] == 100


async def test_a_slow_part_of_the_store_holds_up_its_own_calls_only() -> None:
    """In a cluster each primary answers for itself."""
    async with Service(in_batches=True) as service:
        hold = service.store.slow["other"] = asyncio.Event()
        slow, quick = service.fake.send(**_verify("other")), service.fake.send(**_verify("good"))
        assert (await quick.end()).status == (0, "")
        assert service.fake.takes == [2]
        assert slow.status is None
        hold.set()
        assert (await slow.end()).status == (0, "")


async def test_over_the_limit_calls_are_turned_away() -> None:
    """As many as there is room for are served; the room comes back."""
    async with Service(in_batches=True, rooms=3) as service:
        for _ in range(2):
            calls = [service.fake.send(**_verify("good")) for _ in range(5)]
            codes = [(await call.end()).status[0] for call in calls]  # type: ignore[index]
            assert codes == [0, 0, 0, 8, 8]
        pages = [service.fake.send(**_authz("good")) for _ in range(5)]
        assert [(await call.end()).http_status for call in pages] == [200, 200, 200, 503, 503]


async def test_a_call_that_is_gone_leaves_its_neighbours_alone() -> None:
    """It counts as cancelled, and they are answered."""
    async with Service(in_batches=True) as service:
        service.store.hold = asyncio.Event()
        calls = [service.fake.send(**_verify("good")) for _ in range(3)]
        await eventually_async(lambda: service.store.trips == 1)
        service.fake.go(calls[1])
        await eventually_async(lambda: len(service.fake.takes) == 2)
        service.store.hold.set()
        for call in (calls[0], calls[2]):
            assert (await call.end()).status == (0, "")
        assert calls[1].status is None
        assert sorted(reason for _, reason in service.observer.reasons) == ["CANCELLED", "OK", "OK"]


@pytest.mark.parametrize(
    "case", [_verify("good"), _check(authorization="Bearer good"), _authz("good"), _rest('{"token":"good"}')]
)
async def test_an_answer_that_cannot_be_written_leaves_its_neighbours_alone(case: Mapping[str, Any]) -> None:
    """A session's end beyond the year 9999 has no form in JSON: that is this call's failure alone."""
    async with Service(in_batches=True, rooms=3) as service:
        service.store.states["other"] = _SAME_ROLES._replace(token_session_id="other", expires_ms=10**17)
        odd, good = service.fake.send(**_rest('{"token":"other"}')), service.fake.send(**case)
        assert (await odd.end()).http_status == 500
        assert _answer(await good.end()) == (await _alone(case))[0]
        assert "INTERNAL" in [reason for _, reason in service.observer.reasons]
        # A batch that is not done would keep the server from stopping.
        assert service.server._checks is not None
        assert service.server._checks.under_way == 0


async def test_a_call_that_is_gone_when_it_is_taken_counts_as_cancelled() -> None:
    """Its client left while it waited."""
    async with Service(in_batches=True) as service:
        left, good = service.fake.send(**_verify("good")), service.fake.send(**_verify("good"))
        service.fake.go(left)
        assert (await good.end()).status == (0, "")
        assert sorted(reason for _, reason in service.observer.reasons) == ["CANCELLED", "OK"]


def test_calls_that_were_answered_before_they_went_do_not_add_up() -> None:
    """Word of them comes late; while checks are always out, it is not kept for as long."""
    engine: Any = None
    batches = checks.CheckBatches(engine, lambda *_: None, lambda: None)
    batches.under_way = 1
    tracemalloc.start()
    try:
        for number in range(100_000):
            batches.leave(number + 10**9)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 4 << 20


async def test_what_is_remembered_asks_nobody() -> None:
    """A bound that the memory meets is met by it, in the batch of others."""
    async with Service(in_batches=True) as service:
        await service.fake.send(**_verify("good", staleness=5)).end()
        trips = service.store.trips
        calls = [service.fake.send(**_verify("good", staleness=5)) for _ in range(3)]
        for call in calls:
            assert (await call.end()).status == (0, "")
        assert service.store.trips == trips


async def test_a_stop_waits_for_a_batch() -> None:
    """What is out is answered before the engine ends."""
    service = Service(in_batches=True)
    await service.server.start()
    service.store.hold = asyncio.Event()
    call = service.fake.send(**_verify("good"))
    await eventually_async(lambda: service.store.trips == 1)
    stopping = asyncio.create_task(service.server.stop(5))
    await asyncio.sleep(0)
    service.store.hold.set()
    await stopping
    assert call.status == (0, "")
