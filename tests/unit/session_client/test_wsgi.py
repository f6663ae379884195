"""The WSGI guard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
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
    assert ask(sessions, "/open", RAW_URI="/%6fpen")[0] == "401 Unauthorized"
