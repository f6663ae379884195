"""What is answered to whom a guard does not let in."""

from __future__ import annotations

import logging
from datetime import timedelta

import grpc
import pytest
import session_client
from session_client import SessionClientError, TokenError
from session_client._failures import BY_REASON
from session_client._refusals import confirmed, confirmed_later, refusal_of
from session_client.testing import FakeSessions

SECRET = "eyJ-a-token"
TREE = [
    kind
    for kind in vars(session_client).values()
    if isinstance(kind, type) and issubclass(kind, SessionClientError)
]


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_only_a_token_error_says_no(kind: type[SessionClientError]) -> None:
    """Of the whole tree only TokenError is UNAUTHENTICATED, and only a lacking role PERMISSION_DENIED."""
    refusal = refusal_of(kind(SECRET))

    if issubclass(kind, TokenError):
        assert refusal.code is grpc.StatusCode.UNAUTHENTICATED
        assert kind is TokenError or BY_REASON[refusal.reason] is kind
    elif kind is session_client.RoleRequired:
        assert refusal.code is grpc.StatusCode.PERMISSION_DENIED
    else:
        assert refusal.code is grpc.StatusCode.UNAVAILABLE
        assert refusal.retry_after
    assert SECRET not in repr(refusal)


def test_a_kind_of_token_error_that_is_newer_says_no_too() -> None:
    """As the class above it."""

    class TokenStale(TokenError):
        """Of a later version."""

    assert refusal_of(TokenStale("x")).reason == "TOKEN_INVALID"


@pytest.mark.parametrize("error", [OSError(SECRET), TypeError(SECRET), RuntimeError("the client is closed")])
def test_a_mistake_says_nothing_and_is_logged(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody gets in and nobody is logged out; the log has the place, but not the text, of the failure."""
    with pytest.raises(type(error)) as raised:
        raise error
    assert refusal_of(raised.value).code is grpc.StatusCode.UNAVAILABLE

    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert type(error).__name__ in record.getMessage()
    assert "raise error" in record.getMessage()
    assert SECRET not in caplog.text


def test_the_time_to_wait_is_the_services() -> None:
    """Where it said one; a second else."""
    asked = session_client.ServiceUnavailable("x", retry_after=timedelta(seconds=7))

    assert refusal_of(asked).retry_after == timedelta(seconds=7)
    assert refusal_of(session_client.DeadlineExceeded("x")).retry_after == timedelta(seconds=1)


@pytest.mark.parametrize("answer", [None, True, "ann", object(), {"user_id": "1"}], ids=repr)
def test_only_an_identity_is_a_yes(answer: object) -> None:
    """Whatever else a verifier answers with is a mistake."""
    with pytest.raises(TypeError, match="must answer with an Identity"):
        confirmed(answer)


def test_an_identity_passes() -> None:
    """As it is."""
    sessions = FakeSessions()
    identity = sessions.verify(sessions.log_in())
    assert confirmed(identity) is identity


async def test_the_log_says_which_verify_does_not_fit(caplog: pytest.LogCaptureFixture) -> None:
    """One for threads in an asynchronous guard, or the reverse: 503, and the log says what is wrong."""
    sessions = FakeSessions()
    token = sessions.log_in()
    with pytest.raises(TypeError) as at_once:
        await confirmed_later(sessions.verify(token))  # type: ignore[arg-type]  # the mistake
    coroutine = sessions.averify(token)
    with pytest.raises(TypeError) as later:
        confirmed(coroutine)
    coroutine.close()
    for raised in (at_once, later):
        assert refusal_of(raised.value).code is grpc.StatusCode.UNAVAILABLE

    [first, second] = [record.getMessage() for record in caplog.records]
    assert "verify must be asynchronous" in first
    assert "not with a coroutine" in second


async def test_an_identity_that_is_awaited_passes() -> None:
    """As it is."""
    sessions = FakeSessions()
    token = sessions.log_in()
    assert await confirmed_later(sessions.averify(token)) == sessions.verify(token)
