"""The guard of an ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

from session_client._credentials import HttpCredentials
from session_client._current import entered
from session_client._errors import RoleRequired
from session_client._guarding import AsyncVerifies
from session_client._http_refusals import HttpRefusal, http_refusal
from session_client._public_paths import PublicPaths
from session_client._refusals import confirmed_later, refusal_of

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

IDENTITY: Final = "session_client.identity"
"""Where an application finds the identity: in the scope, and in the environment of WSGI."""

_DENIAL: Final = "websocket.http.response"
# RFC 6455 §7.4.1: a policy is violated. Before a websocket is accepted servers make 403 of it.
_POLICY_VIOLATION: Final = 1008


class SessionMiddleware:
    """Lets only requests of logged-in users reach an ASGI application.

    The access token comes in ``Authorization: Bearer <token>``, or in a cookie where one is named (a
    browser's websocket can set no header). Whose it is says ``current_identity()``, and the scope under
    ``"session_client.identity"``. A request that is refused is answered with 401 and ``WWW-Authenticate``,
    403 where a role is lacking (``require_role``), or 503 and ``Retry-After`` where nothing is known. A
    websocket is checked when it is opened, and refused in the same way, or closed with 1008 where the server
    cannot say more. Put what answers CORS outside of it: a preflight carries no token.

    Args:
        app: the application.
        verify: checks a token, such as ``verifier.verify`` of an ``AsyncTokenVerifier``.
        public: paths that need no token: ``/login``, or ``/static/*`` for all below ``/static/``.
        cookie: name of the cookie that may carry the token; ``None`` = only the header may. Set it with
            ``HttpOnly``, ``Secure`` and ``SameSite``: without the last, pages of others act in a user's name.

    Raises:
        ValueError: a path or the cookie's name cannot be one.
        TypeError: ``public`` is a single string.
    """

    def __init__(
        self,
        app: Application,
        verify: AsyncVerifies,
        *,
        public: Iterable[str] = (),
        cookie: str | None = None,
    ) -> None:
        self._app = app
        self._verify = verify
        self._public = PublicPaths(public)
        self._credentials = HttpCredentials(cookie)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request if its sender is logged in, or its path is public."""
        if scope["type"] == "lifespan" or _path(scope) in self._public:
            await self._app(scope, receive, send)
            return
        try:
            token = self._credentials.token(_values(scope, b"authorization"), _values(scope, b"cookie"))
            identity = await confirmed_later(self._verify(token))
        except Exception as error:  # noqa: BLE001 - whatever it is, it lets nobody in
            await _refuse(http_refusal(refusal_of(error)), scope, send)
            return
        answer = _Answer(send)
        try:
            with entered(identity):
                await self._app({**scope, IDENTITY: identity}, receive, answer)
        except RoleRequired as error:
            if answer.last in {"websocket.accept", "websocket.send"}:
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            elif answer.last:
                raise
            else:
                await _refuse(http_refusal(refusal_of(error)), scope, send)


class _Answer:
    """Passes on what the application sends, and knows the type of the last event; empty before the first."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.last = ""

    async def __call__(self, event: Event) -> None:
        self.last = event["type"]
        await self._send(event)


def _path(scope: Scope) -> str:
    """The path that the application will look at; an empty one where another was sent.

    It was sent with an escape then, or rewritten on the way: what was sent does not make public what is
    asked for now, nor the other way round.
    """
    raw: bytes | None = scope.get("raw_path")
    path: str = scope["path"]
    return path if raw is None or raw.partition(b"?")[0].decode("latin-1") == path else ""


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


async def _refuse(refusal: HttpRefusal, scope: Scope, send: Send) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in refusal.headers]
    if scope["type"] == "http":
        kind = "http.response"
    elif _DENIAL in scope.get("extensions", {}):
        kind = _DENIAL
    else:
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        return
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": headers})
    # Of an answer to HEAD the server drops the body.
    await send({"type": f"{kind}.body", "body": refusal.body})
