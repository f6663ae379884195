"""What an error looks like over HTTP."""

from __future__ import annotations

import json

import grpc
import pytest

from session_service.domain import errors
from session_service.rpc.http.status import HTTP_STATUS, http_response_of
from session_service.rpc.status import CODES

INVALID = 'Bearer error="invalid_token"'
NO_TOKEN = 'Bearer realm="session-service"'
SECRET = "redis://:hunter2@10.0.0.1"


@pytest.mark.parametrize(
    ("error", "status", "hints"),
    [
        (errors.TokenMissing(), 401, {"www-authenticate": NO_TOKEN}),
        (errors.TokenInvalid(), 401, {"www-authenticate": INVALID}),
        (errors.TokenExpired(), 401, {"www-authenticate": INVALID}),
        (errors.SessionEnded(), 401, {"www-authenticate": INVALID}),
        (errors.InvalidCredentials(), 401, {"www-authenticate": NO_TOKEN}),
        (errors.AdminCredentialMissing(), 401, {"www-authenticate": NO_TOKEN}),
        (errors.RoleRequired(role="x"), 403, {"www-authenticate": 'Bearer error="insufficient_scope"'}),
        (errors.UserNotFound(), 404, {}),
        (errors.UsernameTaken(), 409, {}),
        (errors.InvalidArgument(errors.FieldViolation("query", "is wrong")), 400, {}),
        (errors.TooManyAttempts(61.2), 429, {"retry-after": "62"}),
        (errors.StoreUnavailable(), 503, {"retry-after": "1"}),
        (errors.StoreUnavailable(0.1), 503, {"retry-after": "1"}),
        (RuntimeError(SECRET), 500, {}),
    ],
)
def test_status_headers_and_body(error: Exception, status: int, hints: dict[str, str]) -> None:
    """Each kind of error has its status, says what helps, and is told in JSON."""
    told = http_response_of(error)
    assert told.status == status
    assert dict(told.headers) == {**hints, "content-type": "application/json"}
    assert json.loads(told.body).keys() == {"code", "message", "details"}
    assert SECRET.encode() not in told.body


def test_the_body_says_what_grpc_says() -> None:
    """The number of the code, the public text, the reason."""
    assert json.loads(http_response_of(errors.TokenExpired()).body) == {
        "code": 16,
        "message": "the access token has expired",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "TOKEN_EXPIRED",
                "domain": "session.v1",
            }
        ],
    }


def test_every_code_has_a_status() -> None:
    """Nothing is left out, and no error is a success."""
    assert set(HTTP_STATUS) == set(grpc.StatusCode)
    assert all(HTTP_STATUS[code] >= 400 for code in CODES.values())
