"""BatchVerifyTokens, through real gRPC and real Redis, on both engines."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Final

import grpc
import pytest
from session_api.v1 import session_service_pb2 as pb
from session_api.v1.error_reason_pb2 import ErrorReason
from session_client import Identity

from session_service.storage import keys
from session_service.tokens.keys import new_document
from tests.support import RedisServer, eventually_async
from tests.support.clients import open_async_client
from tests.support.errors import Failure, fails
from tests.support.in_process import ServiceUnderTest, in_process, patient_with
from tests.support.outcomes import is_away

pytestmark = pytest.mark.usefixtures("engine")

MOST: Final = 256
UNAVAILABLE: Final = 14


@pytest.fixture
async def rs256_service(
    redis_server: RedisServer, tmp_path: Path, engine: str
) -> AsyncIterator[ServiceUnderTest]:
    """A service with the longest signatures, and names as long as they may be."""
    (tmp_path / "keys.json").write_text(json.dumps(new_document("RS256")))
    named = {
        "issuer": "https://sessions.internal.example.com/issuer",
        "audience": "backends.internal.example.com",
    }
    async with in_process(patient_with(redis_server), tmp_path, tokens=named) as running:
        yield running


async def batch(service: ServiceUnderTest, tokens: Sequence[str]) -> list[pb.TokenResult]:
    """The result for each token."""
    answer = await service.sessions.BatchVerifyTokens(pb.BatchVerifyTokensRequest(tokens=tokens))
    return list(answer.results)


async def alone(service: ServiceUnderTest, token: str) -> pb.TokenResult:
    """What VerifyToken says of a token, in the words of a batch."""
    try:
        return pb.TokenResult(verified=await service.verify(token))
    except grpc.aio.AioRpcError as error:
        told = Failure()
        told.read(error)
        code: int = error.code().value[0]
        reason = ErrorReason.Value(f"ERROR_REASON_{told.reason}")
        return pb.TokenResult(failure=pb.CheckFailure(code=code, reason=reason, message=told.message))


async def test_each_token_is_answered_as_verify_token_does(service: ServiceUnderTest) -> None:
    """Live, ended, of the wrong kind, forged, empty, twice: in order, with VerifyToken's own words."""
    live, other, ended = [await service.open_session(f"u-{number}", roles=["editor"]) for number in range(3)]
    await service.logout(ended.access_token)
    forged = live.access_token[:-4] + "AAAA"
    tokens = [
        live.access_token,
        ended.access_token,
        "",
        forged,
        other.access_token,
        live.refresh_token,
        "é" * 100,
        live.access_token,
        "x" * 60_000,
    ]
    results = await batch(service, tokens)
    assert results == [await alone(service, token) for token in tokens]
    verified = [number for number, each in enumerate(results) if each.HasField("verified")]
    assert verified == [0, 4, 7]


async def test_a_logout_counts_at_once(service: ServiceUnderTest) -> None:
    """A batch that begins after an acknowledged end knows of it."""
    tokens = [(await service.open_session(f"u-{number}")).access_token for number in range(20)]
    for ended, token in enumerate(tokens):
        results = await batch(service, tokens)
        assert [each.HasField("verified") for each in results] == [False] * ended + [True] * (20 - ended)
        await service.logout(token)


async def test_a_check_in_a_batch_is_use_of_the_session(
    service: ServiceUnderTest, redis_server: RedisServer
) -> None:
    """Each session that has not been used for a while is noted as used now, many in one batch."""
    opened = [await service.open_session(f"u-{number}") for number in range(30)]
    sessions = [keys.session(f"u-{number}", each.session_id) for number, each in enumerate(opened)]
    with redis_server.client() as store:
        for session in sessions:
            store.hset(session, "last_active", 5)
        results = await batch(service, [each.access_token for each in opened])
        assert all(each.HasField("verified") for each in results)
        assert all(int(store.hget(session, "last_active") or 0) > 5 for session in sessions)


@pytest.mark.parametrize("count", [0, MOST + 1])
async def test_the_number_of_tokens_is_bounded(service: ServiceUnderTest, count: int) -> None:
    """None, or more than 256: the call is refused and names the limit."""
    with fails(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT") as failure:
        await batch(service, [""] * count)
    assert failure.fields == {"tokens": "must be 1 to 256 tokens"}


async def test_as_many_of_the_long_tokens_of_rs256_fit(rs256_service: ServiceUnderTest) -> None:
    """256 tokens with RS256 signatures and a user id of 64 characters, each with the largest answer."""
    roles = [f"{number:064}" for number in range(32)]
    opened = await rs256_service.open_session("u" * 64, roles=roles)
    assert len(opened.access_token) > 900
    results = await batch(rs256_service, [opened.access_token] * MOST)
    assert len(results) == MOST
    assert all(list(each.verified.roles) == roles for each in results)


async def test_the_longest_tokens_go_in_two_calls(rs256_service: ServiceUnderTest) -> None:
    """With a user id of 128 characters 256 are too large for one call; the client sees to it."""
    users = ["u" * 125 + f"{number:03}" for number in range(MOST)]
    tokens = [(await rs256_service.open_session(user)).access_token for user in users]
    with pytest.raises(grpc.RpcError) as refused:
        await batch(rs256_service, tokens)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    async with open_async_client(rs256_service.address) as client:
        outcomes = await client.verify_tokens(tokens)
    assert [each.user_id for each in outcomes if isinstance(each, Identity)] == users


async def test_a_batch_that_is_too_large_is_refused_by_name(service: ServiceUnderTest) -> None:
    """Over 256 KiB the call is RESOURCE_EXHAUSTED; up to it, it is read."""
    longest = ["t" * 1020] * MOST
    assert len(await batch(service, longest)) == MOST
    with pytest.raises(grpc.RpcError) as refused:
        await batch(service, [*longest[1:], "t" * 2000])
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_without_redis_nothing_is_known_of_any_good_token(
    start_redis: Callable[..., RedisServer], tmp_path: Path
) -> None:
    """The call is OK, each good token UNAVAILABLE with the time to wait, and a bad one still bad (I5)."""
    server = start_redis()
    at = {"host": "127.0.0.1", "port": server.port}
    async with in_process(at, tmp_path) as service:
        tokens = [(await service.open_session(f"u-{number}")).access_token for number in range(5)]
        server.kill()
        await eventually_async(lambda: is_away(service), timeout=20)
        *good, bad = await batch(service, [*tokens, "nonsense"])
        for each in good:
            assert (each.failure.code, each.failure.reason) == (
                UNAVAILABLE,
                ErrorReason.ERROR_REASON_STORE_UNAVAILABLE,
            )
            assert each.failure.retry_delay.seconds == 1
        assert bad.failure.reason == ErrorReason.ERROR_REASON_TOKEN_INVALID
        server.start()
        await eventually_async(lambda: _all_answered(service, tokens), timeout=20)


async def _all_answered(service: ServiceUnderTest, tokens: list[str]) -> bool:
    unavailable = ErrorReason.ERROR_REASON_STORE_UNAVAILABLE
    return all(each.failure.reason != unavailable for each in await batch(service, tokens))
