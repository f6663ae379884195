"""Checking many tokens: how they are cut into calls, and what is said of each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pytest
from session_api.v1 import session_service_pb2 as pb
from session_api.v1.error_reason_pb2 import ErrorReason
from session_client import (
    Identity,
    ServiceUnavailable,
    SessionClientError,
    SessionEnded,
    TokenInvalid,
    TokenMissing,
)

from session_service.domain import errors
from tests.support.scripted_service import ScriptedService

if TYPE_CHECKING:
    from session_client import AsyncSessionClient

LIMIT = 256 * 1024
STRANGE = ["a b", "é", "\ud800", "a" * 8193]


def result(token: str) -> pb.TokenResult:
    """What the service makes of a token: it is its user's name, unless it begins with a dash."""
    if not token:
        return failure(ErrorReason.ERROR_REASON_TOKEN_MISSING)
    if token.startswith("-"):
        return failure(ErrorReason.ERROR_REASON_SESSION_ENDED)
    return pb.TokenResult(verified=pb.VerifyTokenResponse(username=token))


def failure(reason: ErrorReason.ValueType) -> pb.TokenResult:
    """An UNAUTHENTICATED result."""
    return pb.TokenResult(failure=pb.CheckFailure(code=16, reason=reason, message="no"))


@pytest.fixture
def service(service: ScriptedService) -> ScriptedService:
    """The service, which answers for each token that it is asked about."""

    def answer() -> pb.BatchVerifyTokensResponse:
        return pb.BatchVerifyTokensResponse(results=map(result, service.calls[-1].request.tokens))

    service.script("BatchVerifyTokens", answer)
    return service


def said(outcomes: Iterable[Identity | SessionClientError]) -> list[Any]:
    """Names of those who are logged in, classes of the errors of the others."""
    return [each.username if isinstance(each, Identity) else type(each) for each in outcomes]


async def test_each_token_has_an_outcome(client: AsyncSessionClient, service: ScriptedService) -> None:
    """In order, repeated ones too; a token that cannot be one spoils no other, and is not sent."""
    tokens = ["a", *STRANGE, "-b", "", "a", "c", "-b"]
    outcomes = await client.verify_tokens(iter(tokens))

    (call,) = service.calls
    assert list(call.request.tokens) == ["a", "-b", "", "c"]
    assert call.metadata.keys().isdisjoint({"authorization", "x-service-key"})
    strange = [TokenInvalid] * len(STRANGE)
    assert said(outcomes) == ["a", *strange, SessionEnded, TokenMissing, "a", "c", SessionEnded]
    assert not any(token in repr(outcome) for token in STRANGE for outcome in outcomes)


async def test_what_need_not_be_asked_about_is_not(
    client: AsyncSessionClient, service: ScriptedService
) -> None:
    """Without a token that could be one there is no call."""
    assert await client.verify_tokens([]) == ()
    assert said(await client.verify_tokens(STRANGE)) == [TokenInvalid] * len(STRANGE)
    assert not service.calls


async def test_many_go_in_several_calls(client: AsyncSessionClient, service: ScriptedService) -> None:
    """As many as the service takes in each, however many there are in all."""
    tokens = [f"t{number}" for number in range(600)]

    assert said(await client.verify_tokens(tokens)) == tokens
    assert [len(call.request.tokens) for call in service.calls] == [256, 256, 88]


async def test_long_ones_go_in_more_calls(client: AsyncSessionClient, service: ScriptedService) -> None:
    """No call is larger than the service takes, whatever strangers send as a token."""
    tokens = [f"{number:08192}" for number in range(40)]

    assert said(await client.verify_tokens(tokens)) == tokens
    sizes = [call.request.ByteSize() for call in service.calls]
    assert len(sizes) == 2
    assert LIMIT - 8192 < sizes[0] <= LIMIT


async def test_a_call_that_fails_is_the_failure_of_what_is_left(
    client: AsyncSessionClient, service: ScriptedService
) -> None:
    """What was answered before counts; the rest is not asked about in vain."""
    tokens = [f"t{number}" for number in range(700)]
    first = pb.BatchVerifyTokensResponse(results=map(result, tokens[:256]))
    service.script("BatchVerifyTokens", first, errors.Overloaded(7.0))
    outcomes = await client.verify_tokens(["a b", *tokens])

    assert said(outcomes[:257]) == [TokenInvalid, *tokens[:256]]
    assert {type(each).__name__ for each in outcomes[257:]} == {"Overloaded"}
    assert service.count("BatchVerifyTokens") == 2


async def test_a_failure_of_the_store_is_that_of_each_token(
    client: AsyncSessionClient, service: ScriptedService
) -> None:
    """Nothing is known of them: neither in nor out."""
    away = pb.CheckFailure(code=14, reason=ErrorReason.ERROR_REASON_STORE_UNAVAILABLE)
    answer = pb.BatchVerifyTokensResponse(results=[result("a"), pb.TokenResult(failure=away)])
    service.script("BatchVerifyTokens", answer)

    assert said(await client.verify_tokens(["a", "b"])) == ["a", ServiceUnavailable]


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_an_answer_for_other_tokens_counts_for_none(
    client: AsyncSessionClient, service: ScriptedService, count: int
) -> None:
    """Nobody is taken for somebody else: more or fewer results than tokens are a failure of all."""
    service.script("BatchVerifyTokens", pb.BatchVerifyTokensResponse(results=[result("a")] * count))
    outcomes = await client.verify_tokens(["a", "b"])

    assert said(outcomes) == [SessionClientError] * 2
    assert {each.code for each in outcomes if isinstance(each, SessionClientError)} == {"INTERNAL"}


async def test_a_result_that_says_nothing_lets_nobody_in(
    client: AsyncSessionClient, service: ScriptedService
) -> None:
    """Of a kind newer than the client, or empty: not an identity, and no TokenError."""
    service.script("BatchVerifyTokens", pb.BatchVerifyTokensResponse(results=[pb.TokenResult()]))

    assert said(await client.verify_tokens(["a"])) == [SessionClientError]


async def test_one_token_is_no_collection(client: AsyncSessionClient) -> None:
    """A single string would be a token per character."""
    with pytest.raises(TypeError, match="not one string"):
        await client.verify_tokens("token")
