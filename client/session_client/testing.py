"""A stand-in for the session service in the tests of applications that use its guards.

To be used like this::

    sessions = FakeSessions()
    app = SessionMiddleware(application, sessions.averify)
    token = sessions.log_in("ann", roles=["editor"])
    ...
    sessions.log_out(token)

It answers and raises what a verifier does, at once and without a service.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import count

from session_client._errors import ServiceUnavailable, SessionEnded, TokenExpired, TokenInvalid
from session_client._requests import role_names
from session_client._results import Identity
from session_client._verifying import refuse_at_sight

__all__ = ["FakeSessions"]


class FakeSessions:
    """Sessions in memory, with the ``verify`` of both verifiers; ``averify`` is the one to be awaited.

    Tokens are short texts that open nothing anywhere else.

    Args:
        life: how long tokens live.
    """

    def __init__(self, life: timedelta = timedelta(minutes=30)) -> None:
        self._life = life
        self._numbers = count(1)
        self._identities: dict[str, Identity] = {}
        self._ended: set[str] = set()
        self._expired: set[str] = set()
        self._away = False

    def log_in(self, username: str = "ann", *, user_id: str = "", roles: Iterable[str] = ()) -> str:
        """Begin a session; returns its access token.

        Args:
            username: as the identity shows it.
            user_id: made of the name where it is not given.
            roles: the user's.
        """
        number, now = next(self._numbers), datetime.now(UTC)
        token = f"token-{number}-of-a-test"
        self._identities[token] = Identity(
            session_id=f"session-{number}",
            user_id=user_id or f"id-of-{username}",
            username=username,
            roles=tuple(role_names(roles)),
            token_expire_time=now + self._life,
            session_expire_time=now + self._life,
            last_active_time=now,
        )
        return token

    def log_out(self, token: str) -> None:
        """End the token's session: from now on it is ``SessionEnded``."""
        self._ended.add(token)

    def expire(self, token: str) -> None:
        """Let a token expire: from now on it is ``TokenExpired``."""
        self._expired.add(token)

    def go_away(self) -> None:
        """Be unreachable: from now on every check is ``ServiceUnavailable``."""
        self._away = True

    def come_back(self) -> None:
        """Be there again."""
        self._away = False

    def verify(self, access_token: str, *, timeout: float | None = None) -> Identity:  # noqa: ARG002
        """Whose session it is; raises what ``TokenVerifier.verify`` does."""
        refuse_at_sight(access_token)
        if self._away:
            raise ServiceUnavailable(
                "the session store is not available; nothing is known about the session",
                retry_after=timedelta(seconds=1),
                code="UNAVAILABLE",
                reason="STORE_UNAVAILABLE",
            )
        identity = self._identities.get(access_token)
        if identity is None:
            raise TokenInvalid(
                "the access token is not valid", code="UNAUTHENTICATED", reason="TOKEN_INVALID"
            )
        if access_token in self._expired or identity.token_expire_time <= datetime.now(UTC):
            raise TokenExpired("the access token has expired", code="UNAUTHENTICATED", reason="TOKEN_EXPIRED")
        if access_token in self._ended:
            raise SessionEnded("the session has ended", code="UNAUTHENTICATED", reason="SESSION_ENDED")
        return identity

    async def averify(self, access_token: str, *, timeout: float | None = None) -> Identity:
        """As ``verify``, to be awaited."""
        return self.verify(access_token, timeout=timeout)
