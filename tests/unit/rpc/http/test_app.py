"""All of HTTP as one handler: which path does what, and what every answer has."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import grpc
import pytest
from session_api.v1 import admin_service_pb2 as admin_pb
from session_api.v1 import admin_service_pb2_grpc, session_service_pb2_grpc
from session_api.v1 import session_service_pb2 as pb
from session_api.v1.session_pb2 import DeviceInfo

from session_service.domain.errors import SessionEnded, StoreUnavailable
from session_service.rpc.boundary import Boundary
from session_service.rpc.http import app as app_module
from session_service.rpc.http.app import HttpApp
from session_service.rpc.http.cors import Cors
from session_service.rpc.http.values import HttpRequest, HttpResponse
from tests.support.probe import LIMITS as PROBE_LIMITS

ORIGIN = "https://app.example.com"
LIMITS = replace(PROBE_LIMITS, max_concurrent_rpcs=2, max_metadata_bytes=1000)


class Sessions(session_service_pb2_grpc.SessionServiceServicer):
    """Answers by what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.contexts: list[Any] = []
        self.waiting = asyncio.Event()

    async def Login(self, request: pb.LoginRequest, context: Any) -> pb.LoginResponse:  # noqa: N802
        """Fail in each way there is."""
        self.asked.append(request)
        self.contexts.append(context)
        match request.username:
            case "ended":
                raise SessionEnded
            case "away":
                raise StoreUnavailable(2.5)
            case "broken":
                raise RuntimeError("a secret")
            case "abort":
                await context.abort(grpc.StatusCode.NOT_FOUND, "gone")
            case "hang":
                self.waiting.set()
                await asyncio.Event().wait()
        return pb.LoginResponse(access_token="a", expires_in=5)

    async def ListSessions(self, request: Any, _: Any) -> pb.ListSessionsResponse:  # noqa: N802
        """Say nothing."""
        self.asked.append(request)
        return pb.ListSessionsResponse()


class Admins(admin_service_pb2_grpc.AdminServiceServicer):
    """Keeps what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def GetUser(self, request: Any, _: Any) -> admin_pb.GetUserResponse:  # noqa: N802
        """Say nothing."""
        self.asked.append(request)
        return admin_pb.GetUserResponse()

    async def SetUserRoles(self, request: Any, _: Any) -> admin_pb.SetUserRolesResponse:  # noqa: N802
        """Say nothing."""
        self.asked.append(request)
        return admin_pb.SetUserRolesResponse()


class Served:
    """An app with these servicers within a boundary, and what was counted."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.healthy = True
        # Only some of their methods are called.
        self.sessions, self.admins = Sessions(), Admins()  # type: ignore[abstract]
        self.app = HttpApp(LIMITS, Cors([ORIGIN], ["x-more"]), lambda: self.healthy)
        boundary: Any = Boundary((self.app,), self, LIMITS)
        session_service_pb2_grpc.add_SessionServiceServicer_to_server(self.sessions, boundary)
        admin_service_pb2_grpc.add_AdminServiceServicer_to_server(self.admins, boundary)

    def call_ended(self, method: str, reason: str, seconds: float) -> None:
        """Count a call."""
        assert seconds >= 0
        self.calls.append((method.rpartition("/")[2], reason))

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = b"",
        *,
        query: str = "",
        headers: Iterable[tuple[str, str]] = (),
    ) -> HttpResponse:
        """Make a request; what is no bytes becomes JSON."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        reply = await self.app(
            HttpRequest(method, path, query, [("host", "a"), *headers], raw, "ipv4:1.2.3.4:5")
        )
        assert isinstance(reply, HttpResponse)
        return reply


@pytest.fixture
def served() -> Served:
    """One that is healthy."""
    return Served()


def reason(response: HttpResponse) -> str:
    """The reason of a failure."""
    found: str = json.loads(response.body)["details"][0]["reason"]
    return found


async def test_a_call_is_made_and_counted(served: Served) -> None:
    """The body becomes the method's message, and its answer JSON."""
    response = await served.ask("POST", "/v1/login", {"username": "ada", "device": {"name": "x"}})
    assert response.status == 200
    assert dict(response.headers)["content-type"] == "application/json"
    assert json.loads(response.body)["access_token"] == "a"
    assert served.sessions.asked == [pb.LoginRequest(username="ada", device=DeviceInfo(name="x"))]
    assert served.calls == [("Login", "OK")]


async def test_a_context_tells_what_came(served: Served) -> None:
    """Metadata without HTTP's own fields, bytes of -bin, the peer, the time that is left."""
    headers = [
        ("authorization", "Bearer x"),
        ("content-type", "a/b"),
        ("x-bin", "AAE"),
        ("grpc-timeout", "5S"),
    ]
    await served.ask("POST", "/v1/login", headers=headers)
    [context] = served.sessions.contexts
    assert context.invocation_metadata() == (("authorization", "Bearer x"), ("x-bin", b"\0\1"))
    assert context.peer() == "ipv4:1.2.3.4:5"
    assert 4 < context.time_remaining() <= 5


@pytest.mark.parametrize(
    ("username", "status", "why", "hint"),
    [
        ("ended", 401, "SESSION_ENDED", ("www-authenticate", 'Bearer error="invalid_token"')),
        ("away", 503, "STORE_UNAVAILABLE", ("retry-after", "3")),
        ("broken", 500, "INTERNAL", ("cache-control", "no-store")),
    ],
)
async def test_a_call_that_fails(
    served: Served, username: str, status: int, why: str, hint: tuple[str, str]
) -> None:
    """Status, reason and what helps; of what is unforeseen nothing is told."""
    response = await served.ask("POST", "/v1/login", {"username": username})
    assert (response.status, reason(response)) == (status, why)
    assert hint in response.headers
    assert b"a secret" not in response.body
    assert served.calls == [("Login", why)]


async def test_a_call_that_is_aborted(served: Served) -> None:
    """What a library's servicer sets."""
    response = await served.ask("POST", "/v1/login", {"username": "abort"})
    assert json.loads(response.body) == {"code": 5, "message": "gone", "details": []}
    assert response.status == 404


@pytest.mark.parametrize("how", ["by the service", "by the caller"])
async def test_a_call_that_is_late(served: Served, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """504 after the time that every call has, or that its caller gives, whichever is less."""
    headers = [("grpc-timeout", "10m")]
    if how == "by the service":
        monkeypatch.setattr(app_module, "REQUEST_SECONDS", 0.01)
        headers = [("grpc-timeout", "10S")]
    response = await served.ask("POST", "/v1/login", {"username": "hang"}, headers=headers)
    assert (response.status, json.loads(response.body)["code"]) == (504, 4)
    assert served.calls == [("Login", "CANCELLED")]


async def test_a_call_beyond_the_limit(served: Served) -> None:
    """429: calls by REST take the room that calls by gRPC take."""
    hanging = [asyncio.create_task(served.ask("POST", "/v1/login", {"username": "hang"})) for _ in range(2)]
    await served.sessions.waiting.wait()
    response = await served.ask("GET", "/v1/sessions")
    assert (response.status, reason(response)) == (429, "OVERLOADED")
    for each in hanging:
        each.cancel()
    await asyncio.wait(hanging)
    assert (await served.ask("GET", "/v1/sessions")).status == 200


@pytest.mark.parametrize(
    ("method", "target", "body", "field"),
    [
        ("POST", "/v1/login", b"{", "body"),
        ("POST", "/v1/login", {"username": 1}, "username"),
        ("POST", "/v1/login?username=x", {}, "query"),
        ("GET", "/v1/sessions", {}, "body"),
        ("GET", "/v1/sessions?page_size=x", b"", "page_size"),
        ("GET", "/v1/sessions?page_size=", b"", "page_size"),
        ("GET", "/v1/sessions?page_size=1&pageSize=1", b"", "query"),
        ("GET", "/v1/sessions?page_size=1&page_size=1", b"", "query"),
        ("GET", "/v1/sessions?&", b"", "query"),
        ("GET", "/v1/sessions?page_token=%ff", b"", "query"),
        ("GET", "/v1/sessions?" + "&".join(["page_size=1"] * 50), b"", "query"),
        ("GET", "/v1/admin/users/a?page_size=1", b"", "query"),
        ("GET", "/v1/admin/users/a?user_id=b", b"", "query"),
        ("GET", "/v1/admin/users/%ff", b"", "user_id"),
        ("GET", "/v1/admin/users/%C3", b"", "user_id"),
        ("GET", "/v1/admin/users/%", b"", "user_id"),
        ("GET", "/v1/admin/users/%zz", b"", "user_id"),
        ("GET", "/v1/admin/users/\xff", b"", "user_id"),
        ("POST", "/v1/admin/users/a:setRoles", {"user_id": "b"}, "user_id"),
        ("POST", "/v1/admin/users/a:setRoles", {"userId": "b"}, "user_id"),
    ],
)
async def test_a_request_that_does_not_fit(
    served: Served, method: str, target: str, body: Any, field: str
) -> None:
    """400 that names the field, counted as the call that it would have been."""
    path, _, query = target.partition("?")
    response = await served.ask(method, path, body, query=query)
    assert (response.status, reason(response)) == (400, "INVALID_ARGUMENT")
    [violation] = json.loads(response.body)["details"][1]["field_violations"]
    assert violation["field"] == field
    assert [why for _, why in served.calls] == ["INVALID_ARGUMENT"]


async def test_a_bad_timeout_is_a_bad_request(served: Served) -> None:
    """As over gRPC."""
    response = await served.ask("POST", "/v1/login", headers=[("grpc-timeout", "soon")])
    assert (response.status, reason(response)) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v1/admin/users/a%2Fb", admin_pb.GetUserRequest(user_id="a/b")),
        ("/v1/admin/users/zo%C3%AB", admin_pb.GetUserRequest(user_id="zoë")),
        ("/v1/admin/users/a%00b", admin_pb.GetUserRequest(user_id="a\0b")),
        ("/v1/admin/users/a:b", admin_pb.GetUserRequest(user_id="a:b")),
        ("/v1/admin/users/a%3AsetRoles", admin_pb.GetUserRequest(user_id="a:setRoles")),
        ("/v1/admin/users/a+b", admin_pb.GetUserRequest(user_id="a+b")),
        ("/v1/admin/users/..", admin_pb.GetUserRequest(user_id="..")),
        ("/v1/admin/usernames/zo%C3%AB", admin_pb.GetUserRequest(username="zoë")),
    ],
)
async def test_a_value_in_a_path(served: Served, path: str, message: Any) -> None:
    """Decoded once, after the path has been taken apart."""
    assert (await served.ask("GET", path)).status == 200
    assert served.admins.asked == [message]


async def test_a_path_and_a_body(served: Served) -> None:
    """Each gives its part."""
    assert (await served.ask("POST", "/v1/admin/users/a%3Ab:setRoles", {"roles": ["x"]})).status == 200
    assert served.admins.asked == [admin_pb.SetUserRolesRequest(user_id="a:b", roles=["x"])]


async def test_which_page(served: Served) -> None:
    """By either spelling."""
    await served.ask("GET", "/v1/sessions", query="pageSize=5&page_token=a%2Bb")
    assert served.sessions.asked == [pb.ListSessionsRequest(page_size=5, page_token="a+b")]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/v1/sessions", 200),
        ("POST", "/v1/sessions", 405),
        ("HEAD", "/v1/login", 405),
        ("OPTIONS", "/v1/login", 200),
        ("GET", "/v1/%6Cogin", 404),
        ("GET", "/v1/login/", 404),
        ("GET", "/", 404),
        ("GET", "*", 404),
        ("GET", "", 404),
        ("GET", "/\xff", 404),
        ("DELETE", "/v1/admin/users/", 404),
        ("DELETE", "/v1/admin/users/a:setRoles", 405),
        ("POST", "/v1/admin/users/:setRoles", 404),
        ("POST", "/session.v1.SessionService/Login", 415),
        ("PUT", "/session.v1.SessionService/Login", 405),
        ("POST", "/session.v1.SessionService/None", 404),
        ("GET", "/healthz", 200),
        ("HEAD", "/readyz", 200),
        ("GET", "/openapi.json", 200),
        ("DELETE", "/openapi.json", 405),
        ("OPTIONS", "/healthz", 200),
    ],
)
async def test_what_is_at_a_path(served: Served, method: str, path: str, status: int) -> None:
    """404, 405 with what is allowed, 415, or an answer; nobody keeps any of them."""
    response = await served.ask(method, path)
    assert response.status == status
    assert ("cache-control", "no-store") in response.headers
    if status == 405 or method == "OPTIONS":
        allowed = dict(response.headers)["allow"].split(", ")
        assert (method in allowed) == (status == 200)
    if status >= 400:
        assert json.loads(response.body)["details"] == []


async def test_readiness_follows_health(served: Served) -> None:
    """503 while the service cannot answer; the process lives all the same."""
    served.healthy = False
    response = await served.ask("GET", "/readyz")
    assert (response.status, json.loads(response.body)) == (503, {"status": "NOT_SERVING"})
    assert (await served.ask("GET", "/healthz")).status == 200


async def test_header_fields_that_are_too_large(served: Served) -> None:
    """431 with the limit, before anything else."""
    response = await served.ask("GET", "/v1/sessions", headers=[("x", "a" * 1000)])
    assert response.status == 431
    assert b"1000 bytes" in response.body
    assert served.calls == []


async def test_a_page_answers_whatever_is_asked(served: Served) -> None:
    """With every method of HTTP, a websocket's question too; no page of a browser gets leave to read it."""

    async def page(request: HttpRequest) -> HttpResponse:
        return HttpResponse(418, (("x", request.method),), b"")

    served.app.add_page("/page", page)
    upgrade = [("connection", "upgrade"), ("upgrade", "websocket")]
    preflight = [("origin", ORIGIN), ("access-control-request-method", "GET")]
    for method in ("GET", "OPTIONS", "BREW"):
        response = await served.ask(method, "/page", headers=[*upgrade, *preflight])
        assert (response.status, list(response.headers)) == (
            418,
            [("x", method), ("cache-control", "no-store")],
        )
    assert "/page" in served.app.page_paths


async def test_more_pages_than_are_served(served: Served) -> None:
    """503 with the time to wait, while probes are answered."""
    answering = asyncio.Event()

    async def slow(_: HttpRequest) -> HttpResponse:
        await answering.wait()
        return HttpResponse(200, (), b"")

    served.app.add_page("/slow", slow)
    waiting = [asyncio.create_task(served.ask("GET", "/slow")) for _ in range(2)]
    await asyncio.sleep(0)
    response = await served.ask("GET", "/slow")
    assert (response.status, dict(response.headers)["retry-after"]) == (503, "1")
    assert (await served.ask("GET", "/healthz")).status == 200
    answering.set()
    assert [each.status for each in await asyncio.gather(*waiting)] == [200, 200]
    assert (await served.ask("GET", "/slow")).status == 200


async def test_a_page_that_fails(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """500 with a fixed text; the log has the cause."""

    async def broken(_: HttpRequest) -> HttpResponse:
        raise RuntimeError("a secret")

    served.app.add_page("/broken", broken)
    response = await served.ask("GET", "/broken")
    assert (response.status, reason(response)) == (500, "INTERNAL")
    assert b"a secret" not in response.body
    assert "a secret" in caplog.text


async def test_pages_of_browsers(served: Served) -> None:
    """Every answer may be read by a page of the configured origin, failures too."""
    for path in ("/v1/sessions", "/none", "/session.v1.SessionService/Login"):
        response = await served.ask("GET", path, headers=[("origin", ORIGIN)])
        assert dict(response.headers)["access-control-allow-origin"] == ORIGIN
    asked = [("origin", ORIGIN), ("access-control-request-method", "POST")]
    for path in ("/v1/login", "/session.v1.SessionService/Login"):
        response = await served.ask("OPTIONS", path, headers=asked)
        assert response.status == 200
        assert [name for name, _ in response.headers].count("access-control-allow-origin") == 1
        assert "x-more" in dict(response.headers)["access-control-allow-headers"].split(",")
    assert (await served.ask("OPTIONS", "/none", headers=asked)).status == 404
