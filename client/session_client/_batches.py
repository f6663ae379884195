"""Checking many tokens: what is asked in which call, and what is known of each token then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from session_api.v1 import session_service_pb2 as pb

from session_client._conversions import identity_of
from session_client._errors import SessionClientError, TokenInvalid
from session_client._failures import failure_of_check
from session_client._requests import checked_access_token
from session_client._results import Identity

Outcome: TypeAlias = Identity | SessionClientError
"""Whose live session a token belongs to, or what ``verify_token`` would have raised for it."""

# The service's limits, as its API states them.
MAX_TOKENS: Final = 256
MAX_BYTES: Final = 262_144
# A field's tag, and a length of up to two bytes.
OVERHEAD: Final = 3


def token_list(access_tokens: Iterable[str]) -> list[str]:
    """The tokens as a list.

    Raises:
        TypeError: a single string, which would count as one token per character.
    """
    if isinstance(access_tokens, str):
        raise TypeError("access_tokens is a collection of tokens, not one string")
    return list(access_tokens)


def refused(tokens: Iterable[str]) -> dict[str, Outcome]:
    """Those that need not be asked about: no token has such characters or such a length."""
    found: dict[str, Outcome] = {}
    for token in tokens:
        try:
            checked_access_token(token)
        except TokenInvalid as refusal:
            found[token] = refusal
    return found


def batches(tokens: Iterable[str]) -> Iterator[list[str]]:
    """The tokens in lists that fit into one call each."""
    batch: list[str] = []
    room = MAX_BYTES
    for token in tokens:
        size = len(token) + OVERHEAD
        if len(batch) == MAX_TOKENS or size > room:
            yield batch
            batch, room = [], MAX_BYTES
        batch.append(token)
        room -= size
    if batch:
        yield batch


def outcomes(batch: list[str], answer: pb.BatchVerifyTokensResponse) -> dict[str, Outcome]:
    """What a call told of each of its tokens.

    Raises:
        SessionClientError: it told of more or fewer.
    """
    if len(answer.results) != len(batch):
        raise SessionClientError("the service did not answer for each token", code="INTERNAL")
    return dict(zip(batch, map(_outcome, answer.results), strict=True))


def _outcome(result: pb.TokenResult) -> Outcome:
    return identity_of(result.verified) if result.HasField("verified") else failure_of_check(result.failure)
