"""What a failed call says in HTTP: status, body, which credential is asked for, when to try again."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from session_service.storage import keys
from session_service.tokens.keys import load_key_ring
from tests.support import eventually
from tests.support.engines import ENGINES, services_on
from tests.support.rest import RestClient, answer, failure, rest_service
from tests.support.service_client import PASSWORD
from tests.support.tokens import claims_of, forge, good_header

BEARER = 'Bearer realm="session-service"'
BAD_TOKEN = 'Bearer error="invalid_token"'
LIMIT = 3


@pytest.fixture(scope="module", params=ENGINES)
def strict(request: pytest.FixtureRequest) -> Iterator[RestClient]:
    """A service that reaches its limits soon."""
    with (
        services_on(request.param),
        rest_service(
            session={"max_sessions": 1, "on_limit": "reject", "refresh_grace": 0},
            throttling={"per_account_and_address": LIMIT, "window": 600},
        ) as client,
    ):
        yield client


def test_no_token(rest: RestClient) -> None:
    """401, and the challenge names no error, since nothing was wrong with a token (RFC 6750 §3.1)."""
    response = rest.call("GET", "/v1/sessions")
    assert failure(response) == (401, 16, "TOKEN_MISSING")
    assert response.headers["www-authenticate"] == BEARER


@pytest.mark.parametrize("token", ["x", "a.b.c", "\u00e9"])
def test_a_bad_token(rest: RestClient, token: str) -> None:
    """401, and the challenge says that it was the token."""
    header = f"Bearer {token}".encode("latin-1")
    response = rest.call("POST", "/v1/logout", headers={"authorization": header})
    assert failure(response) == (401, 16, "TOKEN_INVALID")
    assert response.headers["www-authenticate"] == BAD_TOKEN


def test_another_scheme_or_two_tokens(rest: RestClient) -> None:
    """Neither Basic nor a second header field is a way in, a good token among them or not."""
    good = f"Bearer {rest.open_session()['access_token']}"
    odd: list[list[tuple[str, str]]] = [
        [("authorization", "Basic dXNlcjpwYXNzd29yZA==")],
        [("authorization", good), ("authorization", good)],
        [("authorization", "Bearer x"), ("authorization", good)],
    ]
    for headers in odd:
        response = rest.http.get("/v1/sessions", headers=headers)
        assert failure(response) == (401, 16, "TOKEN_INVALID")
        assert response.headers["www-authenticate"] == BAD_TOKEN


def test_an_expired_token(rest: RestClient) -> None:
    """401 with the reason to refresh."""
    ring = load_key_ring(rest.service.key_file)
    claims = claims_of(rest.open_session()["access_token"])
    expired = {
        name: value - 7200 if name in {"iat", "nbf", "exp"} else value for name, value in claims.items()
    }
    token = forge(good_header(ring), expired, ring.access[0])
    response = rest.call("GET", "/v1/sessions", token=token)
    assert failure(response) == (401, 16, "TOKEN_EXPIRED")
    assert response.headers["www-authenticate"] == BAD_TOKEN


def test_an_ended_session(rest: RestClient) -> None:
    """401 for a token whose session was revoked."""
    session = rest.open_session("ended")
    answer(rest.operate("DELETE", f"/v1/admin/users/ended/sessions/{session['session_id']}"))
    response = rest.call("POST", "/v1/token:verify", token=session["access_token"])
    assert failure(response) == (401, 16, "SESSION_ENDED")
    assert response.headers["www-authenticate"] == BAD_TOKEN


def test_wrong_credentials(rest: RestClient) -> None:
    """401 without a word about a token, the same for unknown and known users."""
    user = rest.add_user()
    for username in (user["username"], "nobody"):
        response = rest.call("POST", "/v1/login", json={"username": username, "password": "wrong"})
        assert failure(response) == (401, 16, "INVALID_CREDENTIALS")
        assert response.headers["www-authenticate"] == BEARER


def test_bad_refresh_tokens(strict: RestClient) -> None:
    """401 for one that is none and for one that was used before."""
    token = strict.open_session()["refresh_token"]
    answer(strict.call("POST", "/v1/token:refresh", json={"refresh_token": token}))
    for sent, reason in ((token, "REFRESH_TOKEN_REUSED"), ("none", "REFRESH_TOKEN_INVALID")):
        response = strict.call("POST", "/v1/token:refresh", json={"refresh_token": sent})
        assert failure(response) == (401, 16, reason)
        assert response.headers["www-authenticate"] == BEARER


def test_no_operator(rest: RestClient) -> None:
    """401 without any credential; 403 with one that does not carry the right."""
    response = rest.call("GET", "/v1/admin/stats")
    assert failure(response) == (401, 16, "ADMIN_REQUIRED")
    assert response.headers["www-authenticate"] == BEARER
    token = f"Bearer {rest.open_session()['access_token']}"
    for headers in ({"x-service-key": "ssk_wrong"}, {"authorization": token}):
        response = rest.call("GET", "/v1/admin/stats", headers=headers)
        assert failure(response) == (403, 7, "ADMIN_REQUIRED")
        assert response.headers["www-authenticate"] == 'Bearer error="insufficient_scope"'


def test_what_is_not_there_or_taken(rest: RestClient) -> None:
    """404 and 409, each with its reason and without a challenge."""
    user, token = rest.add_user(), rest.open_session()["access_token"]
    taken = {"username": user["username"].upper(), "password": PASSWORD}
    told = {
        (404, 5, "USER_NOT_FOUND"): rest.operate("GET", "/v1/admin/usernames/nobody"),
        (404, 5, "SESSION_NOT_FOUND"): rest.call("DELETE", f"/v1/sessions/{'s' * 22}", token=token),
        (409, 6, "USERNAME_TAKEN"): rest.operate("POST", "/v1/admin/users", json=taken),
    }
    for expected, response in told.items():
        assert failure(response) == expected
        assert not {"www-authenticate", "retry-after"} & set(response.headers)


def test_a_limit_of_sessions(strict: RestClient) -> None:
    """400 as for any failed precondition; the reason tells it from a bad argument."""
    strict.open_session("limited")
    request = {"user_id": "limited", "username": "limited"}
    response = strict.operate("POST", "/v1/admin/sessions", json=request)
    assert failure(response) == (400, 9, "SESSION_LIMIT_REACHED")


def test_bad_arguments(rest: RestClient) -> None:
    """400 that names every wrong field."""
    response = rest.call("POST", "/v1/login", json={"username": "a b", "password": ""})
    assert failure(response) == (400, 3, "INVALID_ARGUMENT")
    [_, bad] = response.json()["details"]
    assert {each["field"] for each in bad["field_violations"]} == {"username", "password"}


def test_too_many_attempts(strict: RestClient) -> None:
    """429 with the seconds to wait, the same in the header and in the body."""
    user = strict.add_user()
    request = {"username": user["username"], "password": "wrong"}
    statuses = [strict.call("POST", "/v1/login", json=request).status_code for _ in range(LIMIT)]
    assert statuses == [401] * LIMIT
    response = strict.call("POST", "/v1/login", json=request)
    assert failure(response) == (429, 8, "TOO_MANY_ATTEMPTS")
    seconds = int(response.headers["retry-after"])
    assert 0 < seconds <= 600
    [_, retry] = response.json()["details"]
    assert seconds - 1 <= float(retry["retry_delay"].removesuffix("s")) <= seconds


def test_a_fault_of_the_service(rest: RestClient) -> None:
    """500 with a fixed text: of what is broken inside nothing is told."""
    user = rest.add_user()
    key = keys.user(user["user_id"])
    with rest.redis.client() as redis:
        redis.hset(key, mapping=dict.fromkeys(redis.hkeys(key), "broken inside"))
    response = rest.operate("GET", f"/v1/admin/users/{user['user_id']}")
    assert failure(response) == (500, 13, "INTERNAL")
    assert response.json()["message"] == "internal error"
    assert "broken inside" not in response.text
    with rest.redis.client() as redis:
        redis.delete(key)


def test_no_store(engine: str) -> None:
    """503 with a time to try again, for checks and for changes; then all is well again."""
    with rest_service() as client:
        token = client.open_session()["access_token"]
        client.redis.kill()
        for path in ("/v1/token:verify", "/v1/logout"):
            response = client.call("POST", path, token=token)
            assert failure(response) == (503, 14, "STORE_UNAVAILABLE")
            assert int(response.headers["retry-after"]) >= 1
            assert "www-authenticate" not in response.headers
        client.redis.start()
        eventually(lambda: client.call("GET", "/v1/admin/stats", headers=client.admin).is_success, timeout=20)


def test_more_calls_than_are_served(engine: str) -> None:
    """429 with a time to try again for calls beyond the limit, while the others wait for Redis."""
    with rest_service(server={"max_concurrent_rpcs": 1}) as client:
        token = client.open_session()["access_token"]
        client.redis.pause()
        waiting = threading.Thread(
            target=client.call, args=("POST", "/v1/token:verify"), kwargs={"token": token}
        )
        waiting.start()
        try:
            shed = eventually(lambda: _shed(client, token), timeout=20)
        finally:
            client.redis.resume()
            waiting.join()
    assert shed == ((429, 8, "OVERLOADED"), "1")


def _shed(client: RestClient, token: str) -> tuple[tuple[int, int, str], str] | None:
    """What one call got, if it was turned away; one that was let in waits no longer than it may."""
    response = client.call("POST", "/v1/token:verify", token=token, headers={"grpc-timeout": "100m"})
    if response.status_code == 504:
        return None
    return failure(response), response.headers["retry-after"]


def test_where_a_caller_is(rest: RestClient) -> None:
    """The address of the connection, whatever a caller by REST writes of himself."""
    user = rest.add_user()
    request = {"username": user["username"], "password": PASSWORD}
    spoofed = {"x-forwarded-for": "203.0.113.9", "x-envoy-external-address": "203.0.113.9"}
    found = answer(rest.call("POST", "/v1/login", json=request, headers=spoofed))
    [session] = answer(rest.call("GET", "/v1/sessions", token=found["access_token"]))["sessions"]
    assert session["ip_address"] == "127.0.0.1"


def test_a_deadline(rest: RestClient) -> None:
    """504 after the time that a caller gives in gRPC's own header field."""
    token = rest.open_session()["access_token"]
    rest.redis.pause()
    try:
        response = rest.call("POST", "/v1/token:verify", token=token, headers={"grpc-timeout": "100m"})
    finally:
        rest.redis.resume()
    assert failure(response) == (504, 4, "")
