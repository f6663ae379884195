"""The WSGI guard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import BytesIO, StringIO
from typing import Any
from wsgiref.handlers import SimpleHandler
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from session_client import NoIdentity, WsgiSessionMiddleware, current_identity, require_role
from session_client.testing import FakeSessions


class Pieces:
    """A response that looks who asks at every piece, and knows whether it was closed."""

    closed: str | None = None

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(2):
            yield current_identity().username.encode()

    def close(self) -> None:
        """Look once more."""
        Pieces.closed = current_identity().username


def application(environ: Any, start_response: Any) -> Iterable[bytes]:
    """Tells the caller's name by pieces; `/admin` needs a role, `/open` tells whether anybody is known."""
    if environ["PATH_INFO"] == "/admin":
        require_role("admin")
    start_response("200 OK", [("content-type", "text/plain")])
    if environ["PATH_INFO"] == "/open":
        return [_who()]
    assert environ["session_client.identity"] == current_identity()
    return Pieces()


def _who() -> bytes:
    try:
        return current_identity().username.encode()
    except NoIdentity:
        return b"nobody"


@pytest.fixture
def sessions() -> FakeSessions:
    """Who is logged in."""
    return FakeSessions()


def ask(sessions: FakeSessions, path: str = "/", **environ: str) -> tuple[str, dict[str, str], bytes]:
    """Ask the guarded application: status, headers, body."""
    app = validator(WsgiSessionMiddleware(application, sessions.verify, public=["/open"], cookie="token"))
    told: list[Any] = []
    setup_testing_defaults(environ)
    environ |= {"PATH_INFO": path, "QUERY_STRING": ""}

    def start_response(status: str, headers: list[tuple[str, str]], *_: object) -> Any:
        told.extend((status, dict(headers)))

    response = app(environ, start_response)
    try:
        body = b"".join(response)
    finally:
        response.close()  # type: ignore[attr-defined]
    return told[0], told[1], body


def test_a_logged_in_caller_is_served_by_name(sessions: FakeSessions) -> None:
    """From the first piece to the closing of the response; then nobody is left behind."""
    token = sessions.log_in("ann")
    status, _, body = ask(sessions, HTTP_AUTHORIZATION=f"Bearer {token}")
    assert (status, body, Pieces.closed) == ("200 OK", b"annann", "ann")
    assert ask(sessions, HTTP_COOKIE=f"token={token}")[2] == b"annann"
    with pytest.raises(NoIdentity):
        current_identity()


def test_refusals_say_why(sessions: FakeSessions) -> None:
    """401 with a challenge, 403, 503 with a time."""
    user = f"Bearer {sessions.log_in()}"
    for path, header, status, hint in (
        ("/", "", "401 Unauthorized", "www-authenticate"),
        ("/", "Bearer forged", "401 Unauthorized", "www-authenticate"),
        ("/", f"{user},{user}", "401 Unauthorized", "www-authenticate"),
        ("/admin", user, "403 Forbidden", "www-authenticate"),
    ):
        answer = ask(sessions, path, **({"HTTP_AUTHORIZATION": header} if header else {}))
        assert answer[0] == status
        assert hint in answer[1]
    sessions.go_away()
    assert ask(sessions, HTTP_AUTHORIZATION=user)[0] == "503 Service Unavailable"


def test_public_paths_ask_nobody(sessions: FakeSessions) -> None:
    """They know nobody, whatever the environment of the server before says."""
    sessions.go_away()
    assert ask(sessions, "/open")[2] == b"nobody"
    assert ask(sessions, "/open", RAW_URI="/open?a=b")[2] == b"nobody"


@pytest.mark.parametrize("name", ["RAW_URI", "REQUEST_URI"])
@pytest.mark.parametrize(("path", "sent"), [("/open", "/%6fpen"), ("/admin", "/open"), ("/open", "/admin")])
def test_a_path_that_was_sent_otherwise_is_not_public(
    sessions: FakeSessions, name: str, path: str, sent: str
) -> None:
    """With an escape, or rewritten on the way: neither the one nor the other makes it public."""
    assert ask(sessions, path, **{name: sent})[0] == "401 Unauthorized"


def _late(environ: Any, start_response: Any) -> Iterator[bytes]:
    """A generator: nothing of it runs before its first piece is asked for; `/later` gives one first."""
    start_response("200 OK", [("content-type", "text/plain")])
    if environ["PATH_INFO"] == "/later":
        yield b"some"
    require_role("admin")
    yield b"never"


def _served(sessions: FakeSessions, path: str, app: Any, method: str = "GET", token: str = "") -> list[Any]:
    """What a real server makes of it: one of the standard library, on files in place of a socket."""
    token = token or sessions.log_in("ann")
    environ = {"REQUEST_METHOD": method, "HTTP_AUTHORIZATION": f"Bearer {token}", "PATH_INFO": path}
    setup_testing_defaults(environ)
    out, err = BytesIO(), StringIO()
    SimpleHandler(BytesIO(), out, err, environ).run(WsgiSessionMiddleware(app, sessions.verify))
    head, _, body = out.getvalue().partition(b"\r\n\r\n")
    return [head.decode().lower().split("\r\n"), body, err.getvalue()]


def test_a_role_may_be_asked_for_while_the_response_is_made(sessions: FakeSessions) -> None:
    """As long as nothing of it was sent it becomes a 403; after that it is the server's affair (PEP 3333)."""
    head, body, errors = _served(sessions, "/", _late)
    assert head[0].endswith("403 forbidden")
    assert (b"ROLE_REQUIRED" in body, b"never" in body, errors) == (True, False, "")

    _, body, errors = _served(sessions, "/later", _late)
    assert body == b"some"
    assert "RoleRequired" in errors


def test_the_answer_to_head_has_no_body(sessions: FakeSessions) -> None:
    """But the length of what GET would get."""
    head, body, _ = _served(sessions, "/", application, method="HEAD", token="forged")
    assert head[0].endswith("401 unauthorized")
    assert body == b""
    assert "content-length: 0" not in head


def test_a_ready_response_stays_as_it_is(sessions: FakeSessions) -> None:
    """A server knows its length without being told."""

    def app(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("content-type", "text/plain")])
        return [current_identity().username.encode()]

    head, body, _ = _served(sessions, "/", app)
    assert "content-length: 3" in head
    assert body == b"ann"


def test_an_application_that_fails_leaves_nobody_behind(sessions: FakeSessions) -> None:
    """For the next request on the same thread, and its exception is its own."""

    def app(_environ: Any, _start_response: Any) -> list[bytes]:
        raise OSError(current_identity().username)

    _, _, errors = _served(sessions, "/", app)
    assert "OSError: ann" in errors
    with pytest.raises(NoIdentity):
        current_identity()


@pytest.mark.parametrize("answer", [None, True, OSError("secret")], ids=repr)
def test_whatever_a_verifier_does_lets_nobody_in(answer: object) -> None:
    """503, and its text goes nowhere."""

    def verify(_token: str) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    told: list[str] = []
    environ: dict[str, Any] = {"HTTP_AUTHORIZATION": "Bearer abc"}
    setup_testing_defaults(environ)
    body = WsgiSessionMiddleware(application, verify)(environ, lambda status, *_: told.append(status))  # type: ignore[arg-type]
    assert told == ["503 Service Unavailable"]
    assert b"secret" not in b"".join(body)
