"""Requests by REST that are no calls: refused by name, in the JSON of all failures, and nothing is quoted."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.rest import RestClient, answer, failure
from tests.support.service_client import PASSWORD

INVALID = (400, 3, "INVALID_ARGUMENT")
NO_SUCH_PATH = (404, 5, "")
SECRET = "hunter2hunter2"


@pytest.fixture(params=["HTTP/1.1", "HTTP/2"])
def client(rest: RestClient, request: pytest.FixtureRequest) -> Iterator[RestClient]:
    """A client of either version of HTTP."""
    if request.param == "HTTP/1.1":
        yield rest
        return
    if not rest.one_port:
        pytest.skip("beside grpc.aio there is HTTP/1 alone")
    newer = rest.by_http2()
    with newer.http:
        yield newer


def log_in(client: RestClient, body: bytes, **headers: str) -> Any:
    """Send a login's body."""
    return client.call("POST", "/v1/login", content=body, headers=headers)


@pytest.mark.parametrize(
    "body",
    [
        b'{"username": "zebulon", "password": "' + SECRET.encode(),
        b'{"username": "zebulon", "password": ' + SECRET.encode() + b"}",
        b'{"password": "' + SECRET.encode() + b'", "username": "\xff\xfe"}',
        b'{"password": "' + SECRET.encode() + b'", "username": "\xed\xa0\x80"}',
        b'{"password": ["' + SECRET.encode() + b'"]}',
        b'{"password": {"' + SECRET.encode() + b'": 1}}',
        b'{"password": 12345678}',
        b'{"password": true}',
        b'{"device": "' + SECRET.encode() + b'"}',
        b'{"password": "a", "password": 12345678}',
        b'{"username": "zebulon"} {"password": "' + SECRET.encode() + b'"}',
        b'["' + SECRET.encode() + b'"]',
        b'"' + SECRET.encode() + b'"',
        b"null",
        b"12345678",
        b"\x00",
        b"username=zebulon&password=" + SECRET.encode(),
        b"<password>" + SECRET.encode() + b"</password>",
        b'{"device":' * 150 + b"1" + b"}" * 150,
        b'{"username": "zebulon", "password": "a\\ud800b"}',
        b'\xef\xbb\xbf{"username": "zebulon"}',
        b'{"password": NaN}',
        b'{"password": 1e999}',
        b'{"password": ' + b"9" * 5000 + b"}",
        b'{"unknown":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    ],
)
def test_a_body_that_does_not_fit(client: RestClient, body: bytes) -> None:
    """400 that says what a body must be, and quotes none of it: whoever logs errors logs no passwords."""
    response = log_in(client, body)
    assert failure(response) == INVALID
    message = response.json()["message"]
    assert message.startswith(("body: must be ", "body: has ", "password: must be ", "device"))
    for quoted in (SECRET, "12345678", "hunter", "zebulon"):
        assert quoted not in response.text


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "username"),
        (b"{}", "username"),
        (b'{"username": null, "password": null}', "username"),
        (b'{"username": "a\\u0000b", "password": "x"}', "username"),
        (b'{"username": "a\\nb", "password": "x"}', "username"),
        (b'{"username": "ada", "password": "x", "device": {"name": "a\\u0000"}}', "device.name"),
        (b'{"username": "' + b"a" * 60_000 + b'", "password": "x"}', "username"),
    ],
)
def test_a_field_that_breaks_its_limits(client: RestClient, body: bytes, field: str) -> None:
    """400 that names the field, as in gRPC: absent and null are empty, NUL and other controls are refused."""
    response = log_in(client, body)
    assert failure(response) == INVALID
    violations = response.json()["details"][1]["field_violations"]
    assert field in {each["field"] for each in violations}


def test_the_content_type_is_not_looked_at(client: RestClient) -> None:
    """A browser's form can be sent from any page, but there is no cookie that would go with it."""
    username = client.add_user()["username"]
    right = json.dumps({"username": username, "password": PASSWORD}).encode()
    for kind in ("application/json; charset=utf-8", "text/plain", "application/x-www-form-urlencoded"):
        assert answer(log_in(client, right, **{"content-type": kind}))["user"]["username"] == username
    assert answer(log_in(client, right))["user"]["username"] == username


def test_what_says_more_or_two_things(client: RestClient) -> None:
    """400 for a name that there is not, and for one that is there twice, in either spelling."""
    token = client.open_session()["refresh_token"]
    twice = f'{{"refresh_token": "{token}", "refreshToken": "{token}"}}'.encode()
    for body, field in (
        (b'{"username": "zebulon", "unknown": {"deep": [1, null]}}', "body"),
        (b'{"device": {"unknown": 1}}', "device"),
        (b'{"password": "wrong", "password": "right"}', "body"),
    ):
        response = log_in(client, body)
        assert failure(response) == INVALID
        assert [each["field"] for each in response.json()["details"][1]["field_violations"]] == [field]
    response = client.call("POST", "/v1/token:refresh", content=twice)
    assert failure(response) == INVALID
    assert response.json()["message"] == "refresh_token: is there twice"
    answer(client.call("POST", "/v1/token:refresh", json={"refresh_token": token}))


@pytest.mark.parametrize(
    "query",
    ["page_size=x", "page_size=99999999999", "page_size=1.5", "nonsense=1", "page_size.x=1", "current=true"],
)
def test_a_query_that_does_not_fit(client: RestClient, query: str) -> None:
    """400 for a field that there is not, and for a value of another type."""
    token = client.open_session()["access_token"]
    assert failure(client.call("GET", f"/v1/sessions?{query}", token=token)) == INVALID


def test_a_page_token_of_somebody_else(client: RestClient) -> None:
    """400 that names the field."""
    token = client.open_session()["access_token"]
    response = client.call("GET", "/v1/sessions?page_token=none&page_size=-1", token=token)
    assert failure(response) == INVALID
    assert "page_size" in response.json()["message"]


def test_a_path_says_whom_it_is_about(client: RestClient) -> None:
    """Neither query nor body can name another user or session than the path that a gateway has seen."""
    shown, hidden = client.add_user(), client.add_user()
    path = f"/v1/admin/users/{shown['user_id']}"
    odd = [
        client.operate("DELETE", path, params={"user_id": hidden["user_id"]}),
        client.operate("DELETE", path, params={"userId": hidden["user_id"]}),
        client.operate("DELETE", f"{path}?user%5Fid={hidden['user_id']}"),
        client.operate("GET", path, params={"user_id": hidden["user_id"]}),
        client.operate("GET", path, params={"username": hidden["username"]}),
        client.operate("GET", f"{path}/sessions", params={"user_id": hidden["user_id"]}),
        client.operate("DELETE", path, json={"user_id": hidden["user_id"]}),
        client.operate("POST", f"{path}:setDisabled", json={"user_id": hidden["user_id"], "disabled": True}),
        client.operate("POST", f"{path}:setDisabled?user_id={hidden['user_id']}", json={"disabled": True}),
    ]
    assert [failure(response) for response in odd] == [INVALID] * len(odd)
    camel = {"userId": hidden["user_id"], "disabled": True}
    client.operate("POST", f"{path}:setDisabled", json=camel)
    found = answer(client.operate("GET", f"/v1/admin/users/{hidden['user_id']}"))
    assert found["user"] == hidden


def test_no_password_in_a_path(client: RestClient) -> None:
    """400 for what belongs into the body: a query ends up in the logs of whatever lies between."""
    username = client.add_user()["username"]
    right = {"username": username, "password": PASSWORD}
    response = client.call("POST", "/v1/login", params=right)
    assert failure(response) == INVALID
    assert "query" in response.json()["message"]
    assert PASSWORD not in response.text


@pytest.mark.parametrize("part", ["a%2Fb", "a%00b", "%", "a%zz", "a%ff%fe", "%2e%2e", "a%20b", "a%0d%0ab"])
def test_odd_characters_in_a_path(client: RestClient, part: str) -> None:
    """400 or 404 with a reason: an encoded slash is no separator, NUL and broken UTF-8 are no id."""
    response = client.operate("GET", f"/v1/admin/users/{part}")
    assert failure(response) in {INVALID, (404, 5, "USER_NOT_FOUND"), NO_SUCH_PATH}


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("GET", "/"),
        ("OPTIONS", "/v2/sessions"),
        ("GET", "/v1"),
        ("GET", "/v2/sessions"),
        ("GET", "//v1/sessions"),
        ("GET", "/V1/sessions"),
        ("GET", "/v1/admin/users/a/b"),
        ("DELETE", "/v1/sessions/a/b"),
        ("GET", "/no.Such/Method"),
    ],
)
def test_no_such_path(client: RestClient, verb: str, path: str) -> None:
    """404 in JSON."""
    assert failure(client.call(verb, path)) == NO_SUCH_PATH


@pytest.mark.parametrize(
    ("verb", "path", "allowed"),
    [
        ("PUT", "/v1/sessions", "GET, HEAD, OPTIONS"),
        ("PATCH", "/v1/sessions", "GET, HEAD, OPTIONS"),
        ("TRACE", "/v1/sessions", "GET, HEAD, OPTIONS"),
        ("GET", "/v1/login", "POST, OPTIONS"),
        ("HEAD", "/v1/login", "POST, OPTIONS"),
        ("POST", "/v1/sessions", "GET, HEAD, OPTIONS"),
        ("DELETE", "/v1/admin/users/a:setRoles", "POST, OPTIONS"),
        ("PUT", "/v1/admin/users/a", "DELETE, GET, HEAD, OPTIONS"),
        ("GET", "/session.v1.SessionService/Login", "POST, OPTIONS"),
        ("POST", "/healthz", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_path_without_this_method(client: RestClient, verb: str, path: str, allowed: str) -> None:
    """405 with those that there are, as OPTIONS tells them too."""
    response = client.call(verb, path)
    assert (response.status_code, response.headers["allow"]) == (405, allowed)
    if verb != "HEAD":
        assert failure(response) == (405, 12, "")
        assert allowed in response.json()["message"]
    asked = client.call("OPTIONS", path)
    assert (asked.status_code, asked.headers["allow"], asked.content) == (200, allowed, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/session.v1.%41dminService/GetStats",
        "/session.v1.AdminService%2FGetStats",
        "/session.v1.AdminService/GetStats%3F",
        "/%ff",
        "/%",
    ],
)
def test_an_encoded_path_is_no_path(client: RestClient, path: str) -> None:
    """Who rules by paths before the service reads them as they are; and one that is no UTF-8 is answered."""
    assert failure(client.operate("GET", path)) == NO_SUCH_PATH
    if not client.one_port:
        return
    headers = client.admin | {"content-type": "application/grpc", "te": "trailers"}
    called = client.call("POST", path, content=b"\0" * 5, headers=headers)
    if called.http_version == "HTTP/2":
        assert called.headers["grpc-status"] == "12"
    else:
        assert failure(called) == NO_SUCH_PATH


def test_an_encoded_value_in_a_path(client: RestClient) -> None:
    """What a path holds is another matter."""
    response = client.operate("GET", "/v1/admin/usernames/zo%C3%AB")
    assert failure(response) == (404, 5, "USER_NOT_FOUND")


def test_head(client: RestClient) -> None:
    """As GET without the body, and the connection goes on."""
    token = client.open_session()["access_token"]
    response = client.call("HEAD", "/v1/sessions", token=token)
    assert (response.status_code, response.content) == (200, b"")
    assert failure(client.call("GET", "/v1/sessions")) == (401, 16, "TOKEN_MISSING")


def test_json_for_a_method_of_grpc(client: RestClient) -> None:
    """415 that says what the path takes."""
    for path in ("/session.v1.SessionService/Login", "/grpc.health.v1.Health/Check"):
        response = client.call("POST", path, json={})
        assert failure(response) == (415, 3, "")
        assert "application/grpc" in response.json()["message"]


@pytest.mark.parametrize("size", [65_537, 90_000])
def test_a_body_that_is_too_large(client: RestClient, size: int) -> None:
    """413 as soon as it is, in pieces or not: nobody fills the server's memory."""
    response = log_in(client, b"{" + b" " * (size - 1))
    assert failure(response) == (413, 8, "")
    assert response.json()["message"] == "the body has more than 65536 bytes"


@pytest.mark.parametrize("kind", ["application/grpcx", "application/grpc; x", "application/grpc-web+json"])
def test_a_body_of_almost_grpc(client: RestClient, kind: str) -> None:
    """What only looks like gRPC's content type is a call by REST, and bounded as such."""
    body = b"{" + b" " * 65_536
    response = client.call("POST", "/v1/login", content=body, headers={"content-type": kind})
    assert failure(response) == (413, 8, "")


def test_the_largest_body(client: RestClient) -> None:
    """As many bytes as are allowed are read."""
    right = json.dumps({"username": client.add_user()["username"], "password": PASSWORD})
    answer(log_in(client, right.ljust(65_536).encode()))


def test_header_fields_that_are_too_large(client: RestClient) -> None:
    """431 by the service, with the limit."""
    response = client.call("GET", "/v1/sessions", headers={"x-long": "a" * 17_000})
    assert failure(response) == (431, 8, "")
    assert "16384 bytes" in response.json()["message"]


@pytest.mark.parametrize("path", ["/v1/sessions", "/v1/token:verify", "/openapi.json", "/authz"])
def test_a_target_that_is_too_large(client: RestClient, path: str) -> None:
    """It counts as header fields do, at paths that an engine serves by itself or in batches too."""
    response = client.call("POST", f"{path}?role={'a' * 17_000}")
    assert failure(response) == (431, 8, "")


def test_far_too_much(rest: RestClient) -> None:
    """The same where reading stops long before the end; in HTTP/2 header fields like these end the stream."""
    response = rest.call("GET", "/v1/sessions", headers={"x-long": "a" * 100_000})
    # It may be the library that reads the bytes which says so, without a body.
    assert response.status_code == 431
    assert failure(log_in(rest, b" " * 3_000_000)) == (413, 8, "")


@pytest.mark.parametrize("kind", ["application/grpcx", "application/grpc;x=y", "application/grpc-web+json"])
def test_a_body_that_is_too_large_is_so_whatever_its_kind(client: RestClient, kind: str) -> None:
    """What begins like gRPC's type, and is none, is JSON."""
    response = log_in(client, b"{" + b" " * 90_000, **{"content-type": kind})
    assert response.status_code == 413 or response.headers["grpc-status"] == "8"


def exchanged(client: RestClient, sent: bytes) -> bytes:
    """What comes back for these bytes, until the connection ends in whatever way."""
    host, _, port = client.service.http_address.rpartition(":")
    received = b""
    with (
        socket.create_connection((host, int(port)), timeout=60) as connection,
        contextlib.suppress(ConnectionResetError),
    ):
        connection.sendall(sent)
        while piece := connection.recv(65_536):
            received += piece
    return received


@pytest.mark.slow
def test_a_request_that_never_arrives(rest: RestClient) -> None:
    """408 after ten seconds: nobody holds the server's memory by being slow."""
    received = exchanged(rest, b"POST /v1/login HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n{")
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert json.loads(body)["message"] == "the request did not arrive in time"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"NONSENSE\r\n\r\n",
        b"GET /v1/sessions HTTP/1.1\r\nconnection: close\r\n\r\n",
        b"POST /v1/login HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/login HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
        b"POST /v1/login HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nxx\r\n",
        b"GET /v1/sessions HTTP/1.1\r\nhost: a\r\nna me: x\r\n\r\n",
    ],
)
def test_what_is_no_http(rest: RestClient, request_bytes: bytes) -> None:
    """A status of 4xx or an end of the connection, and the service lives."""
    received = exchanged(rest, request_bytes)
    assert not received or received.startswith(b"HTTP/1.1 4"), received
    assert failure(rest.call("GET", "/v1/sessions")) == (401, 16, "TOKEN_MISSING")


@pytest.mark.parametrize("host", [b"host: a\r\n", b""])
def test_an_old_version_of_http(rest: RestClient, host: bytes) -> None:
    """HTTP/1.0 is answered, and the connection ends."""
    received = exchanged(rest, b"GET /v1/sessions HTTP/1.0\r\n" + host + b"\r\n")
    assert received.startswith((b"HTTP/1.1 401 ", b"HTTP/1.0 401 "))
    assert b"TOKEN_MISSING" in received
