"""A failed call over REST has the headers that the same error has over any other HTTP."""

from __future__ import annotations

import grpc
import pytest

from session_service.domain import errors
from session_service.rpc.engines.envoy_rest import rest_fields
from session_service.rpc.http.status import http_response_of
from session_service.rpc.status import status_of


@pytest.mark.parametrize(
    "error",
    [
        errors.TokenMissing(),
        errors.SessionEnded(),
        errors.InvalidCredentials(),
        errors.AdminRequired(),
        errors.StoreUnavailable(2.5),
        errors.UserNotFound(),
        RuntimeError("unforeseen"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_headers_are_those_of_the_error(error: Exception) -> None:
    """What is read from the trailers of a call is what the error itself gives, but for the body's type."""
    status = status_of(error)
    told = dict(http_response_of(error).headers)
    del told["content-type"]
    fields = rest_fields(status.code, status.trailers)
    assert {name.decode(): value.decode() for name, value in fields} == told


def test_a_call_without_details() -> None:
    """What fails below the service has a code alone."""
    assert rest_fields(grpc.StatusCode.UNAVAILABLE, ()) == []
    assert rest_fields(None, ()) == []
