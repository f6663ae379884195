"""The stand-in for the service in other projects' tests."""

from __future__ import annotations

from datetime import timedelta

import pytest
from session_client import ServiceUnavailable, SessionEnded, TokenExpired, TokenInvalid, TokenMissing
from session_client.testing import FakeSessions


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


def test_tokens_expire_by_themselves() -> None:
    """After the life that the test gave them."""
    sessions = FakeSessions(life=timedelta(0))
    with pytest.raises(TokenExpired):
        sessions.verify(sessions.log_in())
