"""From the service's errors to the client's exceptions, over a real connection."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import grpc
import pytest
import session_client
from session_api.v1 import session_service_pb2 as pb
from session_api.v1.error_reason_pb2 import ErrorReason
from session_client import (
    FieldViolation,
    InvalidArgument,
    NotFound,
    RateLimited,
    RetryLater,
    ServiceUnavailable,
    SessionClientError,
)
from session_client._failures import BY_REASON, failure_of_check

from session_service.domain import errors
from tests.support.scripted_service import Refused, ScriptedService

if TYPE_CHECKING:
    from session_client import AsyncSessionClient

# The client's class for an error of the domain has the same name, but for these.
OTHER_NAMES = {
    "SessionServiceError": "SessionClientError",
    "AdminCredentialMissing": "AdminRequired",
    "StoreUnavailable": "ServiceUnavailable",
}


def _errors() -> list[errors.SessionServiceError]:
    """One of each error that the service can answer with."""
    waiting = [errors.TooManyAttempts(7.25), errors.Overloaded(7.25), errors.StoreUnavailable(7.25)]
    wrong = errors.InvalidArgument(errors.FieldViolation("password", "too short"))
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    plain = [
        kind(limit="5")
        for kind in kinds
        if issubclass(kind, errors.SessionServiceError)
        and not issubclass(kind, errors.InvalidArgument | errors.RetryLater)
    ]
    return [*plain, *waiting, wrong]


async def _failure(
    client: AsyncSessionClient, service: ScriptedService, answer: Exception
) -> SessionClientError:
    service.script("LogoutAll", answer)
    with pytest.raises(SessionClientError) as caught:
        await client.logout_all("at")
    return caught.value


def test_every_reason_has_a_class() -> None:
    """The client knows each reason of the API, and none that the API does not have."""
    known = {f"ERROR_REASON_{reason}" for reason in BY_REASON}

    assert known == set(ErrorReason.keys()) - {"ERROR_REASON_UNSPECIFIED"}


@pytest.mark.parametrize("error", _errors(), ids=lambda error: type(error).__name__)
async def test_each_error_of_the_service(
    client: AsyncSessionClient, service: ScriptedService, error: errors.SessionServiceError
) -> None:
    """Each error becomes its own exception, with the reason, the text and the facts that came with it."""
    caught = await _failure(client, service, error)

    name = type(error).__name__
    assert type(caught) is getattr(session_client, OTHER_NAMES.get(name, name))
    assert caught.reason == error.reason
    assert caught.metadata == error.metadata
    assert str(caught) == str(error)
    if isinstance(caught, RetryLater):
        assert caught.retry_after == timedelta(seconds=7.25)
    if isinstance(caught, InvalidArgument):
        assert caught.violations == (FieldViolation("password", "too short"),)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidArgument),
        (grpc.StatusCode.NOT_FOUND, NotFound),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, RateLimited),
        (grpc.StatusCode.UNAVAILABLE, ServiceUnavailable),
        (grpc.StatusCode.UNAUTHENTICATED, SessionClientError),
        (grpc.StatusCode.UNIMPLEMENTED, SessionClientError),
    ],
)
async def test_a_status_without_a_reason(
    client: AsyncSessionClient,
    service: ScriptedService,
    code: grpc.StatusCode,
    kind: type[SessionClientError],
) -> None:
    """Where something before the service refuses, the status code decides; it never means "logged out"."""
    caught = await _failure(client, service, Refused(code))

    assert type(caught) is kind
    assert (caught.code, caught.reason) == (code.name, "")


async def test_a_reason_newer_than_the_client(client: AsyncSessionClient, service: ScriptedService) -> None:
    """An unknown reason is kept for the caller to see, and the status code decides."""
    new = type("Frozen", (errors.SessionServiceError,), {"reason": "FROZEN"})
    caught = await _failure(client, service, new())

    assert type(caught) is SessionClientError
    assert (caught.code, caught.reason) == ("INTERNAL", "FROZEN")


async def test_details_that_make_no_sense(client: AsyncSessionClient, service: ScriptedService) -> None:
    """Broken details do not hide the failure itself."""
    caught = await _failure(client, service, Refused(grpc.StatusCode.UNAVAILABLE, "away", b"\xff\xff"))

    assert type(caught) is ServiceUnavailable
    assert str(caught) == "away"


async def test_the_cause_is_kept(client: AsyncSessionClient, service: ScriptedService) -> None:
    """What gRPC said is there for who debugs, and has no credential in it."""
    caught = await _failure(client, service, errors.SessionEnded())

    assert isinstance(caught.__cause__, grpc.RpcError)
    assert "the-key" not in repr(caught.__cause__)
    assert "Bearer" not in repr(caught.__cause__)


@pytest.mark.parametrize("reason", sorted(BY_REASON))
def test_a_failed_check_of_one_token_has_the_class_of_its_reason(reason: str) -> None:
    """What VerifyToken would have raised for the token, told apart by the same table."""
    told = pb.CheckFailure(code=16, reason=ErrorReason.Value(f"ERROR_REASON_{reason}"), message="why")
    failure = failure_of_check(told)

    assert type(failure) is BY_REASON[reason]
    assert (failure.code, failure.reason, str(failure)) == ("UNAUTHENTICATED", reason, "why")
    assert getattr(failure, "retry_after", None) is None


def test_a_failed_check_may_say_when_to_try_again() -> None:
    """The delay is a timedelta, as that of a failed call."""
    told = pb.CheckFailure(code=14, reason=ErrorReason.ERROR_REASON_STORE_UNAVAILABLE)
    told.retry_delay.FromMilliseconds(7250)
    failure = failure_of_check(told)

    assert isinstance(failure, ServiceUnavailable)
    assert failure.retry_after == timedelta(seconds=7.25)


@pytest.mark.parametrize(
    ("code", "reason", "kind", "name"),
    [
        (16, 99, SessionClientError, "UNAUTHENTICATED"),
        (14, 99, ServiceUnavailable, "UNAVAILABLE"),
        (14, 0, ServiceUnavailable, "UNAVAILABLE"),
        (77, 0, SessionClientError, "UNKNOWN"),
        (0, 0, SessionClientError, "OK"),
    ],
)
def test_a_failed_check_newer_than_the_client(
    code: int, reason: int, kind: type[SessionClientError], name: str
) -> None:
    """By a reason that is not known the code decides; by neither it never means "logged out"."""
    failure = failure_of_check(pb.CheckFailure(code=code, reason=reason))  # type: ignore[arg-type]

    assert type(failure) is kind
    assert (failure.code, failure.reason, str(failure)) == (name, "", name)
