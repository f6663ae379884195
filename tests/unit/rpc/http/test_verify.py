"""VerifyToken by REST in two halves."""

from __future__ import annotations

import json

import pytest
from google.protobuf.duration_pb2 import Duration
from session_api.v1 import session_service_pb2 as pb

from session_service.domain.errors import InvalidArgument, StoreUnavailable, TokenExpired
from session_service.rpc.http.app import HttpApp
from session_service.rpc.http.cors import Cors
from session_service.rpc.http.values import HttpRequest, HttpResponse
from session_service.rpc.http.verify import RestVerify, rest_verify
from tests.support.decisions import ADA
from tests.support.probe import LIMITS

ORIGIN = "https://app.example.com"
PATH = "/v1/token:verify"


@pytest.fixture(scope="module")
def verify() -> RestVerify:
    """At the first path."""
    found = rest_verify(HttpApp(LIMITS, Cors([ORIGIN], ()), lambda: True))
    assert list(found) == [PATH, "/agent_backend/user/verify"]
    return found[PATH]


def request(body: bytes = b"") -> HttpRequest:
    """A request of a browser's page."""
    return HttpRequest("POST", PATH, "", [("origin", ORIGIN)], body)


def test_what_is_asked(verify: RestVerify) -> None:
    """The body, or nothing of it."""
    asked = verify.request(request(b'{"token": "a", "maxStaleness": "1.5s"}'))
    assert asked == pb.VerifyTokenRequest(token="a", max_staleness=Duration(seconds=1, nanos=500_000_000))
    assert verify.request(request()) == pb.VerifyTokenRequest()
    with pytest.raises(InvalidArgument, match="token: must be a text"):
        verify.request(request(b'{"token": 1}'))


def test_who_it_is(verify: RestVerify) -> None:
    """The same as from the method, with what every answer has."""
    for _ in range(2):
        answer = verify.answer(request(), ADA)
        assert isinstance(answer, HttpResponse)
        assert (answer.status, json.loads(answer.body)["user_id"]) == (200, ADA.user_id)
        assert ("cache-control", "no-store") in answer.headers
        assert ("access-control-allow-origin", ORIGIN) in answer.headers


@pytest.mark.parametrize(
    ("error", "status", "hint"),
    [
        (TokenExpired(), 401, ("www-authenticate", 'Bearer error="invalid_token"')),
        (StoreUnavailable(2), 503, ("retry-after", "2")),
        (RuntimeError("a secret"), 500, ("content-type", "application/json")),
    ],
)
def test_who_it_is_not(verify: RestVerify, error: Exception, status: int, hint: tuple[str, str]) -> None:
    """As a call that failed."""
    answer = verify.answer(request(), error)
    assert isinstance(answer, HttpResponse)
    assert answer.status == status
    assert hint in answer.headers
    assert b"a secret" not in answer.body
