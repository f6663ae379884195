"""The ASGI guard."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from session_client import NoIdentity, SessionMiddleware, current_identity, require_role
from session_client.testing import FakeSessions

APPLICATION = "session_client.identity"


@pytest.fixture
def sessions() -> FakeSessions:
    """Who is logged in."""
    return FakeSessions()


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Tells the caller's name, or that there is none; `/admin` needs a role, and `/late` asks too late."""
    if scope["path"] == "/admin":
        require_role("admin")
    try:
        name = current_identity().username
    except NoIdentity:
        name = "nobody"
    assert scope.get(APPLICATION) is None or scope[APPLICATION].username == name
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/late":
        require_role("admin")
    await receive()
    await send({"type": "http.response.body", "body": name.encode()})


def client(sessions: FakeSessions, **options: Any) -> httpx.AsyncClient:
    """A client of the guarded application."""
    app: Any = SessionMiddleware(application, sessions.averify, public=["/open", "/static/*"], **options)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


def bearer(token: str) -> dict[str, str]:
    """The header with a token."""
    return {"authorization": f"Bearer {token}"}


async def test_a_logged_in_caller_is_served_by_name(sessions: FakeSessions) -> None:
    """Many at once, each by his own name, and nobody's is left behind."""
    tokens = {name: sessions.log_in(name) for name in ("ann", "bob", "eve")}
    async with client(sessions) as asking:
        for name, token in list(tokens.items()) * 5:
            assert (await asking.get("/", headers=bearer(token))).text == name
        answers = await asyncio.gather(*(asking.get("/", headers=bearer(each)) for each in tokens.values()))
        assert [each.text for each in answers] == list(tokens)
    with pytest.raises(NoIdentity):
        current_identity()


async def test_refusals_say_why_and_what_is_asked_for(sessions: FakeSessions) -> None:
    """401 with a challenge (RFC 6750 §3.1), 403, 503 with a time; a small JSON body with the reason."""
    ended, user = sessions.log_in(), sessions.log_in()
    sessions.log_out(ended)
    async with client(sessions) as asking:
        for path, headers, status, reason, hint in (
            ("/", {}, 401, "TOKEN_MISSING", 'Bearer realm="session-service"'),
            ("/", bearer("forged"), 401, "TOKEN_INVALID", 'Bearer error="invalid_token"'),
            ("/", {"authorization": "Basic YTpi"}, 401, "TOKEN_INVALID", 'Bearer error="invalid_token"'),
            ("/", bearer(ended), 401, "SESSION_ENDED", 'Bearer error="invalid_token"'),
            ("/admin", bearer(user), 403, "ROLE_REQUIRED", 'Bearer error="insufficient_scope"'),
        ):
            answer = await asking.get(path, headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (status, hint)
            assert answer.json()["details"][0]["reason"] == reason
        sessions.go_away()
        answer = await asking.get("/", headers=bearer(user))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "www-authenticate" not in answer.headers


async def test_two_tokens_are_none(sessions: FakeSessions) -> None:
    """Where a request leaves room for doubt, nobody is let in."""
    token = sessions.log_in()
    async with client(sessions) as asking:
        headers = [("authorization", f"Bearer {token}")] * 2
        assert (await asking.get("/", headers=headers)).status_code == 401


async def test_a_cookie_counts_where_it_is_named(sessions: FakeSessions) -> None:
    """Only then, and only where no header says otherwise."""
    token = sessions.log_in("ann")
    cookie = {"cookie": f"a=b; token={token}"}
    async with client(sessions) as asking:
        assert (await asking.get("/", headers=cookie)).status_code == 401
    async with client(sessions, cookie="token") as asking:
        assert (await asking.get("/", headers=cookie)).text == "ann"
        assert (await asking.get("/", headers=cookie | bearer("forged"))).status_code == 401
        assert (await asking.get("/", headers={"cookie": f"token={token}; token=x"})).status_code == 401


@pytest.mark.parametrize("path", ["/open", "/static/", "/static/a/b.js"])
async def test_public_paths_ask_nobody(sessions: FakeSessions, path: str) -> None:
    """They are served without a token, and know nobody."""
    sessions.go_away()
    async with client(sessions) as asking:
        assert (await asking.get(path)).text == "nobody"


@pytest.mark.parametrize(
    "path", ["/open/", "/openly", "/static", "/static/../admin", "/static/%2e%2e/admin", "//open", "/%6fpen"]
)
async def test_no_other_spelling_is_public(sessions: FakeSessions, path: str) -> None:
    """A path that two servers could read differently needs a token."""
    app: Any = SessionMiddleware(application, sessions.averify, public=["/open", "/static/*"])
    sent: list[Any] = []

    async def send(event: Any) -> None:
        sent.append(event)

    # As servers make it: the path decoded, and what was sent.
    scope = {"type": "http", "path": unquote(path), "raw_path": path.encode(), "headers": [], "method": "GET"}
    await app(scope, None, send)
    assert sent[0]["status"] == 401


@pytest.mark.parametrize(("path", "sent_path"), [("/admin", b"/open"), ("/open", b"/admin")])
async def test_a_path_that_was_rewritten_is_not_public(
    sessions: FakeSessions, path: str, sent_path: bytes
) -> None:
    """Where something in front changed the path, neither the one nor the other makes it public."""
    app: Any = SessionMiddleware(application, sessions.averify, public=["/open"])
    sent: list[Any] = []

    async def send(event: Any) -> None:
        sent.append(event)

    await app({"type": "http", "path": path, "raw_path": sent_path, "headers": []}, None, send)
    assert sent[0]["status"] == 401


async def test_a_role_that_is_asked_for_too_late_ends_the_request(sessions: FakeSessions) -> None:
    """Once the response has begun, the exception is the server's affair."""
    async with client(sessions) as asking:
        with pytest.raises(Exception, match="role"):
            await asking.get("/late", headers=bearer(sessions.log_in()))


@pytest.mark.parametrize(
    ("extensions", "kind"),
    [({}, "websocket.close"), ({"websocket.http.response": {}}, "websocket.http.response.start")],
)
async def test_websockets_are_checked_before_they_are_accepted(
    sessions: FakeSessions, extensions: Any, kind: str
) -> None:
    """Refused as well as the server allows."""
    sent: list[Any] = []

    async def send(event: Any) -> None:
        sent.append(event)

    app: Any = SessionMiddleware(application, sessions.averify)
    await app({"type": "websocket", "path": "/", "headers": [], "extensions": extensions}, None, send)
    assert sent[0]["type"] == kind


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], ["websocket.http.response.start", "websocket.http.response.body"]),
        (["websocket.accept"], ["websocket.accept", "websocket.close"]),
        (["websocket.accept", "websocket.send"], ["websocket.accept", "websocket.send", "websocket.close"]),
    ],
    ids=len,
)
async def test_a_websocket_that_lacks_a_role_is_told_so_at_any_time(
    sessions: FakeSessions, before: list[str], after: list[str]
) -> None:
    """Refused before it is accepted, closed with 1008 after."""
    sent: list[Any] = []

    async def send(event: Any) -> None:
        sent.append(event)

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        for kind in before:
            await send({"type": kind})
        require_role("admin")

    scope = {
        "type": "websocket",
        "path": "/",
        "headers": [(b"authorization", f"Bearer {sessions.log_in()}".encode())],
        "extensions": {"websocket.http.response": {}},
    }
    guarded: Any = SessionMiddleware(app, sessions.averify)
    await guarded(scope, None, send)
    assert [event["type"] for event in sent] == after
    assert sent[-1].get("code", 1008) == 1008


async def test_a_scope_of_another_type_is_nobodys(sessions: FakeSessions) -> None:
    """What the guard does not know it does not let through."""
    guarded: Any = SessionMiddleware(application, sessions.averify)
    with pytest.raises(KeyError):
        await guarded({"type": "mail"}, None, None)


async def test_an_application_that_fails_leaves_nobody_behind(sessions: FakeSessions) -> None:
    """Neither in the server's task nor for the next request, and its exception is its own."""

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        raise OSError(current_identity().username)

    guarded: Any = SessionMiddleware(app, sessions.averify)
    headers = [(b"authorization", f"Bearer {sessions.log_in('ann')}".encode())]
    with pytest.raises(OSError, match="ann"):
        await guarded({"type": "http", "path": "/", "headers": headers}, None, None)
    with pytest.raises(NoIdentity):
        current_identity()


async def test_a_caller_who_leaves_ends_his_check() -> None:
    """A check that is cancelled is no answer, and the application sees nothing of the request."""
    begun = asyncio.Event()

    async def verify(_token: str) -> Any:
        begun.set()
        await asyncio.get_running_loop().create_future()  # which never comes

    guarded: Any = SessionMiddleware(application, verify)
    scope = {"type": "http", "path": "/", "headers": [(b"authorization", b"Bearer abc")]}
    asking = asyncio.ensure_future(guarded(scope, None, None))
    await begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_synchronous_verifier_lets_nobody_in(sessions: FakeSessions) -> None:
    """A mistake in the wiring is a 503, and not a yes."""
    app: Any = SessionMiddleware(application, sessions.verify)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as asking:
        assert (await asking.get("/", headers=bearer(sessions.log_in()))).status_code == 503


async def test_lifespan_passes_through(sessions: FakeSessions) -> None:
    """It is nobody's request."""
    seen: list[str] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope["type"])

    guarded: Any = SessionMiddleware(app, sessions.averify)
    await guarded({"type": "lifespan"}, None, None)
    assert seen == ["lifespan"]
