"""Which pages may call, and what they may send and read."""

from __future__ import annotations

import pytest

from session_service.rpc.http.cors import Cors, origin_of
from session_service.rpc.http.values import HttpRequest

ORIGIN = "https://app.example.com"


def preflight(*headers: tuple[str, str], method: str = "OPTIONS") -> HttpRequest:
    """A request with these header fields."""
    return HttpRequest(method, "/v1/login", "", headers)


def test_without_origins_there_is_no_cors() -> None:
    """Nothing at all is said."""
    cors = Cors((), ("x-a",))
    assert cors.response_headers(ORIGIN) == []
    assert cors.preflight(preflight(("origin", ORIGIN), ("access-control-request-method", "GET"))) is None


@pytest.mark.parametrize("origin", ["null", "*", ORIGIN + ":8443", ORIGIN.upper(), "", None])
def test_a_page_from_elsewhere(origin: str | None) -> None:
    """Caches are told that the answer depends on it; that is all."""
    cors = Cors([ORIGIN], ())
    assert cors.response_headers(origin) == [("vary", "origin")]
    headers = [("origin", origin)] if origin is not None else []
    assert cors.preflight(preflight(*headers, ("access-control-request-method", "GET"))) is None


def test_a_page_that_may_call() -> None:
    """It may send what the service and tracing need and what is configured, without credentials."""
    cors = Cors([ORIGIN], ("x-tenant", "authorization"))
    answer = cors.preflight(preflight(("origin", ORIGIN), ("access-control-request-method", "DELETE")))
    assert answer is not None
    told = dict([*answer.headers, *cors.response_headers(ORIGIN)])
    assert len(told) == len(answer.headers) + len(cors.response_headers(ORIGIN))
    assert told["access-control-allow-origin"] == ORIGIN
    assert {"GET", "POST", "DELETE"} <= set(told["access-control-allow-methods"].split(","))
    allowed = told["access-control-allow-headers"].split(",")
    assert len(allowed) == len(set(allowed))
    assert {"authorization", "x-grpc-web", "traceparent", "tracestate", "baggage", "x-request-id"} <= set(
        allowed
    )
    assert "x-tenant" in allowed
    assert "access-control-allow-credentials" not in told
    exposed = dict(cors.response_headers(ORIGIN))["access-control-expose-headers"].split(",")
    assert {"grpc-status", "grpc-message", "www-authenticate", "retry-after"} <= set(exposed)


def test_what_is_no_preflight() -> None:
    """Another method of HTTP, or OPTIONS that does not say for which method it asks."""
    cors = Cors([ORIGIN], ())
    asked = ("access-control-request-method", "GET")
    assert cors.preflight(preflight(("origin", ORIGIN), asked, method="GET")) is None
    assert cors.preflight(preflight(("origin", ORIGIN))) is None


def test_two_origins_are_none() -> None:
    """Nobody knows which was meant."""
    assert origin_of([("origin", ORIGIN), ("origin", ORIGIN)]) is None
    assert origin_of([("origin", ORIGIN)]) == ORIGIN
