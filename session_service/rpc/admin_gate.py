"""Who may call the AdminService."""

from __future__ import annotations

from session_service.domain.checks import TokenCheck
from session_service.domain.errors import (
    AdminCredentialMissing,
    AdminRequired,
    SessionServiceError,
    TokenMissing,
)
from session_service.domain.events import Action, Actor, AuditEvent
from session_service.domain.ports import AuditLog
from session_service.rpc.caller import Callers, Context, bearer_token

ADMIN = "admin"


class AdminGate:
    """Lets operators and trusted services through, and notes who was turned away (ASVS 16.3.2)."""

    def __init__(self, callers: Callers, check: TokenCheck, audit: AuditLog) -> None:
        self._callers = callers
        self._check = check
        self._audit = audit

    async def admit(self, context: Context) -> Actor:
        """The operator behind a call.

        Raises:
            AdminCredentialMissing: neither a service key nor an access token came with it.
            AdminRequired: the one that came does not carry the role ``admin``.
            SessionServiceError: the access token is not good; see ``TokenCheck.check``.
        """
        ip_address = self._callers.ip_address(context)
        if self._callers.presents_service_key(context):
            service = self._callers.service(context)
            name, roles = (f"service:{service.name}", service.roles) if service else ("", ())
        else:
            identity = await self._check.check(self._token(context))
            name, roles = f"user:{identity.user_id}", identity.roles
        actor = Actor(name, ip_address)
        if ADMIN not in roles:
            self._audit.record(AuditEvent(Action.ACCESS_DENIED, actor=actor))
            raise AdminRequired
        return actor

    @staticmethod
    def _token(context: Context) -> str:
        try:
            return bearer_token(context)
        except TokenMissing as missing:
            denied: SessionServiceError = AdminCredentialMissing()
            raise denied from missing
