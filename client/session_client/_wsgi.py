"""The guard of a WSGI application (PEP 3333)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextvars import Context
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from session_client._asgi import IDENTITY
from session_client._credentials import HttpCredentials
from session_client._current import context_of
from session_client._errors import RoleRequired
from session_client._guarding import Verifies
from session_client._http_refusals import http_refusal
from session_client._public_paths import PublicPaths
from session_client._refusals import confirmed, refusal_of

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_END: Final = object()


class WsgiSessionMiddleware:
    """Lets only requests of logged-in users reach a WSGI application.

    As ``SessionMiddleware``, with ``verifier.verify`` of a ``TokenVerifier``; the environment has the
    identity under ``"session_client.identity"``. ``current_identity()`` holds until the response has been
    made to its last piece.

    Args:
        app: the application.
        verify: checks a token.
        public: paths that need no token: ``/login``, or ``/static/*`` for all below ``/static/``, with
            the application's own prefix (``SCRIPT_NAME``).
        cookie: name of the cookie that may carry the token; ``None`` = only the header may.

    Raises:
        ValueError: a path or the cookie's name cannot be one.
        TypeError: ``public`` is a single string.
    """

    def __init__(
        self,
        app: WSGIApplication,
        verify: Verifies,
        *,
        public: Iterable[str] = (),
        cookie: str | None = None,
    ) -> None:
        self._app = app
        self._verify = verify
        self._public = PublicPaths(public)
        self._credentials = HttpCredentials(cookie)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request if its sender is logged in, or its path is public."""
        environ.pop(IDENTITY, None)
        if _path(environ) in self._public:
            return self._app(environ, start_response)
        try:
            token = self._credentials.token(*(_values(environ, name) for name in ("AUTHORIZATION", "COOKIE")))
            identity = confirmed(self._verify(token))
        except Exception as error:  # noqa: BLE001 - whatever it is, it lets nobody in
            return _refuse(error, environ, start_response)
        environ[IDENTITY] = identity
        within = context_of(identity)
        try:
            pieces = within.run(self._app, environ, start_response)
        except RoleRequired as error:
            return _refuse(error, environ, start_response)
        # Those of a list are made already, and from its length some servers know the response's.
        return pieces if isinstance(pieces, list) else _Response(pieces, within, environ, start_response)


class _Response:
    """The pieces of a response, each made in the context of its request."""

    def __init__(
        self,
        pieces: Iterable[bytes],
        within: Context,
        environ: WSGIEnvironment,
        start_response: StartResponse,
    ) -> None:
        self._pieces = pieces
        self._within = within
        self._refuse = partial(_refuse, environ=environ, start_response=start_response)

    def __iter__(self) -> Iterator[bytes]:
        try:
            pieces = self._within.run(iter, self._pieces)
            while (piece := self._within.run(next, pieces, _END)) is not _END:
                yield piece  # type: ignore[misc]  # not the end
        except RoleRequired as error:
            yield from self._refuse(error)

    def close(self) -> None:
        """Close the application's own, as a server must (PEP 3333)."""
        close: Callable[[], Any] | None = getattr(self._pieces, "close", None)
        if close is not None:
            self._within.run(close)


def _path(environ: WSGIEnvironment) -> str:
    """The path that the application will look at; an empty one where another was sent.

    WSGI decodes paths, but many servers tell besides what was sent. Where that is another, it had an escape
    or was rewritten on the way: what was sent does not make public what is asked for now.
    """
    path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    sent: str = environ.get("RAW_URI") or environ.get("REQUEST_URI") or path
    return path if sent.partition("?")[0] == path else ""


def _values(environ: WSGIEnvironment, name: str) -> list[str]:
    value = environ.get(f"HTTP_{name}")
    return [] if value is None else [value]


def _refuse(error: Exception, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Tell why; raises the error where part of another response is sent already (PEP 3333)."""
    refusal = http_refusal(refusal_of(error))
    status = HTTPStatus(refusal.status)
    start_response(f"{status.value} {status.phrase}", list(refusal.headers), sys.exc_info())
    return [b"" if environ.get("REQUEST_METHOD") == "HEAD" else refusal.body]
