"""A guard's refusal over HTTP is what the service's own would be."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from session_client import (
    RoleRequired,
    ServiceUnavailable,
    SessionClientError,
    SessionEnded,
    TokenExpired,
    TokenInvalid,
    TokenMissing,
)
from session_client._http_refusals import http_refusal
from session_client._refusals import refusal_of

from session_service.domain import errors
from session_service.rpc.http.status import http_response_of


@pytest.mark.parametrize(
    ("ours", "of_the_service"),
    [
        (TokenMissing("x"), errors.TokenMissing()),
        (TokenInvalid("x"), errors.TokenInvalid()),
        (TokenExpired("x"), errors.TokenExpired()),
        (SessionEnded("x"), errors.SessionEnded()),
        (RoleRequired("x"), errors.RoleRequired(role="admin")),
        (
            ServiceUnavailable("x", retry_after=timedelta(seconds=2.5)),
            errors.StoreUnavailable(retry_after=2.5),
        ),
    ],
    ids=lambda error: type(error).__name__,
)
def test_status_headers_and_body_are_the_services(
    ours: SessionClientError, of_the_service: errors.SessionServiceError
) -> None:
    """Status, challenge, time to wait, code and reason; only the texts for people may differ."""
    made, expected = http_refusal(refusal_of(ours)), http_response_of(of_the_service)

    assert made.status == expected.status
    length = ("content-length", str(len(made.body)))
    assert sorted(made.headers) == sorted([*expected.headers, length])
    body, wanted = json.loads(made.body), json.loads(expected.body)
    assert (body["code"], body["details"]) == (wanted["code"], wanted["details"])
    assert body.keys() == wanted.keys()
