"""I1: a token is accepted only while its signature, its token key and its session all stand."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import redis

from session_service.storage import keys
from session_service.tokens.keys import KeyRing
from tests.support.in_process import ServiceUnderTest
from tests.support.outcomes import OK, outcome
from tests.support.tokens import claims_of, forge, good_header

ServeTwo: TypeAlias = Callable[..., Awaitable[tuple[ServiceUnderTest, ServiceUnderTest]]]
ENDED = "SESSION_ENDED"


async def test_what_stands_in_redis_decides(serve_two: ServeTwo, store: redis.Redis) -> None:
    """With either key deleted behind the service's back, or both, the token is refused everywhere."""
    services = await serve_two()
    losses: tuple[set[str], ...] = (set(), {"token"}, {"session"}, {"token", "session"})
    opened = [(await services[0].open_session(f"u-{number % 3}"), losses[number % 4]) for number in range(40)]
    for service in services:
        for session, _ in opened:
            await service.verify(session.access_token)
    for session, lost in opened:
        for family in lost:
            store.delete(_key(family, claims_of(session.access_token)))
    for service in services:
        for session, lost in opened:
            assert await outcome(service.verify(session.access_token)) == (ENDED if lost else OK)


async def test_a_stolen_signing_key_cannot_join_two_sessions(serve_two: ServeTwo) -> None:
    """Truly signed claims that mix two users' or two sessions' ids are SESSION_ENDED, whatever the mix."""
    service, _ = await serve_two()
    ring = KeyRing.from_document(service.key_document)
    for users in (("ada", "eve"), ("ada", "ada")):
        real = [claims_of((await service.open_session(user)).access_token) for user in users]
        for mix in itertools.product(real, repeat=3):
            mixed = {name: source[name] for name, source in zip(("sub", "sid", "jti"), mix, strict=True)}
            token = forge(good_header(ring), real[0] | mixed, ring.access[0])
            is_real = any(mixed.items() <= claims.items() for claims in real)
            assert await outcome(service.verify(token)) == (OK if is_real else ENDED)


def _key(family: str, claims: dict[str, Any]) -> str:
    if family == "token":
        return keys.token(claims["sub"], claims["jti"])
    return keys.session(claims["sub"], claims["sid"])
