"""Whether a gateway lets a request through, whichever protocol the gateway asks by."""

from __future__ import annotations

from session_service.domain.checks import Asked, TokenCheck
from session_service.domain.credentials import Credentials
from session_service.domain.errors import RoleRequired
from session_service.domain.models import Identity
from session_service.domain.public_paths import PublicPaths


class Authorization:
    """Decides on requests; a token is judged by the check that VerifyToken asks as well.

    Args:
        check: judges a token.
        credentials: finds the token of a request.
        public_paths: what needs none.
    """

    def __init__(self, check: TokenCheck, credentials: Credentials, public_paths: PublicPaths) -> None:
        self._check = check
        self._credentials = credentials
        self._public_paths = public_paths
        self.looks_at_paths = bool(public_paths)
        """Whether any path is public; else a target is of no interest."""

    def asked(self, target: str, authorization: str | None, cookies: str | None, role: str | None) -> Asked:
        """What is to be checked before a request may pass: nothing where it is public, whatever token it has.

        Args:
            target: the path with its query, as the gateway got it.
            authorization: value of the header ``Authorization``, several joined by commas; ``None`` = none.
            cookies: value of the header ``Cookie``, likewise.
            role: a role that the user must have; ``None`` = none. Nobody has an empty one: a gateway's
                template that comes out empty closes a route and does not open it.

        Raises:
            SessionServiceError: there is no token; see ``Credentials.token``.
        """
        if target in self._public_paths:
            return None, 0.0, None
        return self._credentials.token(authorization, cookies), 0.0, role

    async def outcome_of(self, asked: Asked) -> Identity | None:
        """Check what is asked.

        Returns:
            Who makes the request; ``None`` where it is public.

        Raises:
            RoleRequired: the token is good and its user lacks the role.
            SessionServiceError: the token is not good, or nothing is known of it; see ``TokenCheck.check``.
        """
        token, _, role = asked
        return None if token is None else allowed(await self._check.check(token), role)


def allowed(identity: Identity, role: str | None) -> Identity:
    """Who makes the request, if they have the role that it demands.

    Raises:
        RoleRequired: they have not.
    """
    if role is not None and not (role and role in identity.roles):
        raise RoleRequired(role=role)
    return identity
