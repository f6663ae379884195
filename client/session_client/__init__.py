"""The client of the session service: log in, check, list, end, and administer.

Needs grpcio and protobuf only. First use::

    from session_client import AsyncSessionClient, ServiceUnavailable, TokenError

    async with AsyncSessionClient("dns:///sessions.internal:50051") as sessions:
        login = await sessions.login("ann", "correct horse battery staple")
        try:
            identity = await sessions.verify_token(login.access_token)
        except TokenError:
            ...  # not logged in
        except ServiceUnavailable:
            ...  # nothing is known: neither let in nor logged out
        await sessions.logout(login.access_token)

A service that checks a token on each of its own requests keeps a verifier. It answers mostly from memory, in
about a microsecond, because the service tells it of every session that ends; and it never uses an answer that
may be staler than ``max_staleness`` seconds, but makes a call instead::

    from session_client import AsyncSessionClient, AsyncTokenVerifier

    async with (
        AsyncSessionClient("dns:///sessions.internal:50051") as sessions,
        AsyncTokenVerifier(sessions, max_staleness=1.0) as verifier,
    ):
        identity = await verifier.verify(access_token)  # raises what verify_token does

Make one of each when the process starts, and close them when it stops. For what must not be a second behind,
such as a change of the password, ``sessions.verify_token`` remains: it asks each time.

``SessionClient`` and ``TokenVerifier`` are the same without ``async`` and ``await``. Results are frozen
dataclasses with aware datetimes; exceptions of grpc never get out. What does is one tree::

    SessionClientError              code, reason, metadata
    ├── InvalidCredentials          wrong name or password, unknown or disabled user
    ├── TokenError                  not logged in:
    │   ├── TokenMissing              no token
    │   ├── TokenInvalid              not an access token of this service
    │   ├── TokenExpired              refresh it
    │   └── SessionEnded              log in again
    ├── RefreshTokenInvalid         log in again
    │   └── RefreshTokenReused      used twice, so stolen: the session was ended
    ├── AdminRequired               no service key and no user with the role ``admin``
    ├── RoleRequired                a gateway, or ``require_role``, demands a role
    ├── NotFound
    │   ├── SessionNotFound
    │   └── UserNotFound
    ├── UsernameTaken
    ├── SessionLimitReached
    ├── InvalidArgument             violations: every wrong field
    ├── RetryLater                  retry_after
    │   ├── RateLimited               nothing was done
    │   │   ├── TooManyAttempts
    │   │   └── Overloaded
    │   └── ServiceUnavailable        neither yes nor no
    └── DeadlineExceeded            neither yes nor no

Servers need no code of their own for it: ``AsyncSessionInterceptor`` and ``SessionInterceptor`` guard gRPC,
``SessionMiddleware`` ASGI, ``WsgiSessionMiddleware`` WSGI; ``session_client.fastapi`` has dependencies, and
``session_client.testing`` stands in for the service. Behind a guard, ``current_identity()`` is who asks.

``aio_server`` makes a ``grpc.aio`` server that no request's path can end; ``grpc.aio.server`` makes one that
one request with a path that is not UTF-8 ends.

Besides it: ``ValueError``, ``TypeError`` and ``RuntimeError`` for mistakes in the calling program,
and ``asyncio.CancelledError``.
"""

from session_client._aio_server import aio_server
from session_client._asgi import SessionMiddleware
from session_client._async_admin import AsyncAdmin
from session_client._async_client import AsyncSessionClient
from session_client._channel import Timeouts, Tls
from session_client._current import NoIdentity, current_identity, require_role
from session_client._errors import (
    AdminRequired,
    DeadlineExceeded,
    FieldViolation,
    InvalidArgument,
    InvalidCredentials,
    NotFound,
    Overloaded,
    RateLimited,
    RefreshTokenInvalid,
    RefreshTokenReused,
    RetryLater,
    RoleRequired,
    ServiceUnavailable,
    SessionClientError,
    SessionEnded,
    SessionLimitReached,
    SessionNotFound,
    TokenError,
    TokenExpired,
    TokenInvalid,
    TokenMissing,
    TooManyAttempts,
    UsernameTaken,
    UserNotFound,
)
from session_client._interceptor_aio import AsyncSessionInterceptor
from session_client._interceptor_threads import SessionInterceptor
from session_client._results import (
    Device,
    Identity,
    Login,
    Page,
    Session,
    Stats,
    Sweep,
    Tokens,
    User,
    UserChange,
)
from session_client._sync_admin import Admin
from session_client._sync_client import SessionClient
from session_client._verifier_aio import AsyncTokenVerifier
from session_client._verifier_threads import TokenVerifier
from session_client._wsgi import WsgiSessionMiddleware

__all__ = [
    "Admin",
    "AdminRequired",
    "AsyncAdmin",
    "AsyncSessionClient",
    "AsyncSessionInterceptor",
    "AsyncTokenVerifier",
    "DeadlineExceeded",
    "Device",
    "FieldViolation",
    "Identity",
    "InvalidArgument",
    "InvalidCredentials",
    "Login",
    "NoIdentity",
    "NotFound",
    "Overloaded",
    "Page",
    "RateLimited",
    "RefreshTokenInvalid",
    "RefreshTokenReused",
    "RetryLater",
    "RoleRequired",
    "ServiceUnavailable",
    "Session",
    "SessionClient",
    "SessionClientError",
    "SessionEnded",
    "SessionInterceptor",
    "SessionLimitReached",
    "SessionMiddleware",
    "SessionNotFound",
    "Stats",
    "Sweep",
    "Timeouts",
    "Tls",
    "TokenError",
    "TokenExpired",
    "TokenInvalid",
    "TokenMissing",
    "TokenVerifier",
    "Tokens",
    "TooManyAttempts",
    "User",
    "UserChange",
    "UserNotFound",
    "UsernameTaken",
    "WsgiSessionMiddleware",
    "aio_server",
    "current_identity",
    "require_role",
]
