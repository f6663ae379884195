"""Checking many tokens at once, over every kind of Redis: as each alone, whatever the mix."""

from __future__ import annotations

import time
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from session_service.domain.checks import TokenCheck
from session_service.domain.models import AccessClaims, CreatedSession, Identity, NewSession, SessionPolicy
from session_service.storage import keys
from session_service.tokens.access import JwtAccessTokens
from session_service.tokens.keys import KeyRing, new_document
from tests.support.stores import Store, new_session

RING: Final = KeyRing.from_document(new_document("EdDSA"))
ANOTHER_RING: Final = KeyRing.from_document(new_document("EdDSA"))
USERS: Final = 6
KINDS: Final = ("live", "ended", "keyless", "foreign", "expired", "forged", "damaged", "empty", "nonsense")


class Tokens:
    """For each kind a token of each user, and what checks them."""

    def __init__(self, store: Store) -> None:
        signed = self._signed = JwtAccessTokens(RING, "issuer", "audience", time.time, leeway=5)
        unused: Any = None
        self.check = TokenCheck(
            signed,
            store.sessions,
            unused,
            store.writer(),
            policy=SessionPolicy(),
            clock=time.time,
            steady=time.monotonic,
        )
        self.of_kind: dict[str, list[str]] = {kind: [] for kind in KINDS}

    async def add(self, store: Store, user_id: str) -> None:
        """Make a token of each kind."""
        writer, forger = (
            store.writer(),
            JwtAccessTokens(ANOTHER_RING, "issuer", "audience", time.time, leeway=5),
        )
        claims: dict[str, AccessClaims] = {}
        for kind in ("live", "ended", "keyless", "foreign"):
            new = new_session(user_id)
            claims[kind] = _claims(new, await writer.create(new))
        live, ended, keyless, foreign = claims.values()
        await writer.end(user_id, ended.session_id)
        await store.do("DEL", keys.token(user_id, keyless.token_id))
        await store.do("SET", keys.token(user_id, foreign.token_id), live.session_id)
        for kind, each in claims.items():
            self.of_kind[kind].append(self._signed.issue(each))
        past = AccessClaims(
            user_id, live.session_id, live.token_id, live.issued_at - 100, live.issued_at - 50
        )
        self.of_kind["expired"].append(self._signed.issue(past))
        self.of_kind["forged"].append(forger.issue(live))
        self.of_kind["damaged"].append(self.of_kind["live"][-1][:-5] + "AAAAA")
        self.of_kind["empty"].append("")
        self.of_kind["nonsense"].append(f"nonsense of {user_id}")


def _claims(new: NewSession, created: CreatedSession) -> AccessClaims:
    issued, expires = created.token_issued_ms // 1000, created.token_expires_ms // 1000
    return AccessClaims(new.user_id, new.session_id, new.token_id, issued, expires)


@pytest.fixture
async def tokens(store: Store) -> Tokens:
    """Tokens of all kinds, of users whose keys lie everywhere."""
    tokens = Tokens(store)
    for number in range(USERS):
        await tokens.add(store, f"user-{number}")
    return tokens


async def _alone(check: TokenCheck, token: str) -> Identity | Exception:
    try:
        return await check.check(token)
    except Exception as error:  # noqa: BLE001 - the outcome
        return error


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(picked=st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, USERS - 1)), max_size=80))
async def test_a_batch_says_of_each_token_what_a_check_says(
    tokens: Tokens, picked: list[tuple[str, int]]
) -> None:
    """Live, ended, without its key, with another's, expired, forged, empty: any mix, in any order."""
    mix = [tokens.of_kind[kind][number] for kind, number in picked]
    together = await tokens.check.check_all(mix)
    one_by_one = [await _alone(tokens.check, token) for token in mix]
    assert [_comparable(each) for each in together] == [_comparable(each) for each in one_by_one]
    accepted = [isinstance(each, Identity) for each in together]
    assert accepted == [kind == "live" for kind, _ in picked]


def _comparable(outcome: Identity | Exception) -> Identity | type[Exception]:
    return outcome if isinstance(outcome, Identity) else type(outcome)
