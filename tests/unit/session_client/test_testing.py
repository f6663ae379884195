"""The stand-in for the service in other projects' tests."""

from __future__ import annotations

from datetime import timedelta

import pytest
from session_client import (
    AsyncSessionClient,
    ServiceUnavailable,
    SessionClientError,
    SessionEnded,
    TokenExpired,
    TokenInvalid,
    TokenMissing,
)
from session_client.testing import FakeSessions

from session_service.domain import errors
from tests.support.scripted_service import ScriptedService


async def test_it_answers_as_a_verifier_does() -> None:
    """Whose session it is, waiting or not."""
    sessions = FakeSessions()
    token = sessions.log_in("ann", user_id="u-1", roles=["editor"])
    identity = sessions.verify(token)
    assert (identity.username, identity.user_id, identity.roles) == ("ann", "u-1", ("editor",))
    assert await sessions.averify(token) == identity


async def test_it_raises_what_a_verifier_does() -> None:
    """Each class of refusal, and the one that says nothing."""
    sessions = FakeSessions()
    ended, expired = sessions.log_in(), sessions.log_in()
    sessions.log_out(ended)
    sessions.expire(expired)
    for token, error in (
        ("", TokenMissing),
        ("a b", TokenInvalid),
        ("unknown", TokenInvalid),
        (expired, TokenExpired),
        (ended, SessionEnded),
    ):
        with pytest.raises(error):
            sessions.verify(token)
        with pytest.raises(error):
            await sessions.averify(token)
    sessions.go_away()
    with pytest.raises(ServiceUnavailable):
        sessions.verify(ended)
    sessions.come_back()
    with pytest.raises(SessionEnded):
        sessions.verify(ended)


@pytest.mark.parametrize("state", ["unknown", "expired", "ended", "away"])
async def test_its_exceptions_are_the_real_ones(
    client: AsyncSessionClient, service: ScriptedService, state: str
) -> None:
    """In class, code, reason, text and all else, what a client raises when the service says so."""
    sessions, answer = _in_state(state)
    service.script("VerifyToken", answer)
    with pytest.raises(SessionClientError) as real:
        await client.verify_token("token-1-of-a-test")
    with pytest.raises(SessionClientError) as fake:
        sessions.verify("token-1-of-a-test")

    assert type(fake.value) is type(real.value)
    assert vars(fake.value) == vars(real.value)
    assert str(fake.value) == str(real.value)


def _in_state(state: str) -> tuple[FakeSessions, errors.SessionServiceError]:
    sessions = FakeSessions()
    match state:
        case "unknown":
            return sessions, errors.TokenInvalid()
        case "expired":
            sessions.expire(sessions.log_in())
            return sessions, errors.TokenExpired()
        case "ended":
            sessions.log_out(sessions.log_in())
            return sessions, errors.SessionEnded()
    sessions.go_away()
    return sessions, errors.StoreUnavailable()


def test_tokens_expire_by_themselves() -> None:
    """After the life that the test gave them."""
    sessions = FakeSessions(life=timedelta(0))
    with pytest.raises(TokenExpired):
        sessions.verify(sessions.log_in())
