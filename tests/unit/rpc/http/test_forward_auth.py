"""Forward-auth: what is read of a gateway's question, and how each decision is told."""

from __future__ import annotations

import json

import pytest

from session_service.domain.errors import RoleRequired, SessionEnded, StoreUnavailable, TokenMissing
from session_service.domain.models import Identity
from session_service.rpc.http.forward_auth import ForwardAuth
from session_service.rpc.http.values import HttpRequest, HttpResponse
from tests.support.decisions import ADA, Decision, Told

Headers = tuple[tuple[str, str], ...]


async def _ask(outcome: Identity | Exception | None, query: str = "", headers: Headers = ()) -> HttpResponse:
    return await ForwardAuth(Decision(outcome), Told())(HttpRequest("GET", "/authz", query, headers))  # type: ignore[arg-type]


async def _asked(query: str = "", headers: Headers = ()) -> tuple[str | None, ...]:
    decision = Decision(None)
    await ForwardAuth(decision, Told())(HttpRequest("GET", "/authz", query, headers))  # type: ignore[arg-type]
    return decision.question


async def test_what_is_asked() -> None:
    """Path, header and role go into the decision; cookies where there is no header ``Authorization``."""
    headers = (("x-forwarded-uri", "/a?b"), ("authorization", "Bearer a"), ("cookie", "c=d"))
    assert await _asked("role=admin", headers) == ("/a?b", "Bearer a", None, "admin")
    assert await _asked(headers=headers[::2]) == ("/a?b", None, "c=d", None)
    assert await _asked() == ("", None, None, None)


async def test_no_path_is_asked_for_where_none_is_public() -> None:
    """It would cost a look-up at every request."""
    decision = Decision(None, looks_at_paths=False)
    request = HttpRequest("GET", "/authz", "", (("x-forwarded-uri", "/a"),))
    await ForwardAuth(decision, Told())(request)  # type: ignore[arg-type]
    assert decision.question == ("", None, None, None)


async def test_headers_that_come_twice_are_joined() -> None:
    """As HTTP joins them, so that two tokens are seen to be two and cookies stay apart."""
    tokens = (("authorization", "Bearer a"), ("authorization", "Bearer b"))
    assert await _asked(headers=tokens) == ("", "Bearer a,Bearer b", None, None)
    assert await _asked(headers=(("cookie", "a=1"), ("cookie", "b=2"))) == ("", None, "a=1; b=2", None)


@pytest.mark.parametrize(
    ("headers", "target"),
    [
        ((("x-forwarded-uri", "/a"),), "/a"),
        ((("x-original-uri", "/a"),), "/a"),
        ((("x-forwarded-uri", "/a"), ("x-original-uri", "/a")), "/a"),
        ((("x-forwarded-uri", "/static/a"), ("x-original-uri", "/b")), ""),
        ((("x-forwarded-uri", "/static/a"), ("x-forwarded-uri", "/b")), ""),
        ((("x-forwarded-path", "/a"),), ""),
    ],
)
async def test_the_path_of_the_request(headers: Headers, target: str) -> None:
    """Where the gateway's word and another differ, no path is known, and so it is not public."""
    assert (await _asked(headers=headers))[0] == target


@pytest.mark.parametrize(
    "query", ["roles=admin", "role=a&role=b", "role", "x", "role=a&x=b", "Role=a", "&", "role=a" + "&" * 8]
)
async def test_an_unknown_demand_opens_nothing(query: str) -> None:
    """A misspelt parameter closes the route: 400, or a role that nobody has."""
    answer = await _ask(ADA, query)
    assert answer.status == 400 or (await _asked(query))[3] == ""


async def test_an_identity_is_told_in_headers() -> None:
    """200 with the four headers; without roles with three."""
    assert await _ask(ADA) == HttpResponse(
        200,
        [
            ("x-user-id", "u-1"),
            ("x-username", "%C5%BBaneta"),
            ("x-session-id", "s-1"),
            ("x-user-roles", "editor,reader"),
        ],
        b"",
    )
    assert len((await _ask(ADA._replace(roles=()))).headers) == 3


async def test_a_public_path_names_nobody() -> None:
    """200, and no header that could be taken over."""
    assert await _ask(None) == HttpResponse(200, (), b"")


@pytest.mark.parametrize(
    ("error", "status", "hint"),
    [
        (TokenMissing(), 401, ("www-authenticate", 'Bearer realm="session-service"')),
        (SessionEnded(), 401, ("www-authenticate", 'Bearer error="invalid_token"')),
        (RoleRequired(role="x"), 403, ("www-authenticate", 'Bearer error="insufficient_scope"')),
        (StoreUnavailable(2), 503, ("retry-after", "2")),
        (RuntimeError("a secret"), 500, ("content-type", "application/json")),
    ],
)
async def test_a_denial(error: Exception, status: int, hint: tuple[str, str]) -> None:
    """Whatever was raised is answered, and never with 200."""
    answer = await _ask(error)
    assert answer.status == status
    assert hint in answer.headers
    assert "a secret" not in json.loads(answer.body)["message"]


async def test_an_identity_that_could_inject_is_denied() -> None:
    """Whoever writes into Redis gets no line of a header."""
    assert (await _ask(ADA._replace(username="x\r\nx-user-roles: admin"))).status == 500
